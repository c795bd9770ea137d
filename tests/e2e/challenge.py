"""What a customer signs of a workload of the pools era."""
import hashlib

_NAMES = ("ZDB", "CONTAINER", "VOLUME", "NETWORK", "KUBERNETES", "PROXY", "REVERSE_PROXY", "SUBDOMAIN",
          "DOMAIN_DELEGATE", "GATEWAY4TO6", "NETWORK_RESOURCE", "PUBLIC_IP")
_COMMON = ("workload_id", "node_id", "pool_id", "reference", "customer_tid")


def _number(value):
    return str(value or 0)


def _text(value):
    return value or ""


def _flag(value):
    return "true" if value else "false"


def _address(value):
    return value or "<nil>"


def _word(*words):
    return lambda value: words[value or 0] if (value or 0) < len(words) else "UNKNOWN"


def _each(kind):
    return lambda values: "".join(kind(value) for value in values or [])


def _pairs(values):
    return "".join(f"{key}={values[key]}" for key in sorted(values or {}, key=str.encode))


def _object(pieces):
    return lambda value: "".join(kind((value or {}).get(name)) for name, kind in pieces)


_disk = _word("hdd", "ssd")
# Pieces by type, in the order in which they are signed.
_PIECES = {
    "ZDB": [("size", _number), ("mode", _word("seq", "user")), ("password", _text), ("disk_type", _disk),
            ("public", _flag)],
    "CONTAINER": [
        ("flist", _text), ("hub_url", _text), ("entrypoint", _text), ("interactive", _flag),
        ("environment", _pairs), ("secret_environment", _pairs),
        ("volumes", _each(_object([("volume_id", _text), ("mountpoint", _text)]))),
        ("network_connection",
         _each(_object([("network_id", _text), ("ipaddress", _address), ("public_ip6", _flag)]))),
        ("capacity", _object([("cpu", _number), ("memory", _number), ("disk_size", _number), ("disk_type", _disk)]))],
    "VOLUME": [("size", _number), ("type", _word("HDD", "SSD"))],
    "KUBERNETES": [
        ("size", _number), ("cluster_secret", _text), ("network_id", _text), ("ipaddress", _address),
        ("master_ips", _each(_address)), ("ssh_keys", _each(_text)), ("public_ip", _number),
        ("datastore_endpoint", _text), ("disable_default_ingress", _flag)],
    "PROXY": [("domain", _text), ("addr", _text), ("port", _number), ("port_tls", _number)],
    "REVERSE_PROXY": [("domain", _text), ("secret", _text)],
    "SUBDOMAIN": [("domain", _text), ("ips", _each(_text))],
    "DOMAIN_DELEGATE": [("domain", _text)],
    "GATEWAY4TO6": [("public_key", _text)],
    "NETWORK_RESOURCE": [
        ("name", _text), ("network_iprange", _address), ("wireguard_private_key_encrypted", _text),
        ("wireguard_public_key", _text), ("wireguard_listen_port", _number), ("iprange", _address),
        ("peers", _each(_object([("public_key", _text), ("endpoint", _text), ("iprange", _address),
                                 ("allowed_iprange", _each(_address))])))],
    "PUBLIC_IP": [("ipaddress", _address)],
}


def challenge(workload):
    """The text of a workload as the explorer shows it, with the epoch that stands there."""
    kind = _NAMES[workload["workload_type"]]
    text = "".join(str(workload[name]) for name in _COMMON)
    text += kind + str(workload["epoch"]) + workload["description"] + workload["metadata"]
    return text + "".join(write(workload.get(name)) for name, write in _PIECES[kind])


def message(workload, intent="", tid=None):
    """The 32 bytes to sign: to create, or with an intent ("delete", "provision") as that user."""
    text = challenge(workload) + (f"{intent}{tid}" if intent else "")
    return hashlib.sha256(text.encode()).digest()
