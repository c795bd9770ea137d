"""A tree of files read through znode-flist, against the same tree on the disk. Needs root."""
import contextlib
import ctypes
import os
import random
import subprocess
import time

from measured import Samples, bench, folder, free_port, memory_mib, server

FOLDERS = 300
FILES = 5_000
MNT_DETACH, UMOUNT_NOFOLLOW = 2, 8
_libc = ctypes.CDLL(None, use_errno=True)


def make_tree(path):
    """Always the same files: sizes as in a distribution (most are small, a few hold most bytes), contents that
    compress by half or so."""
    dice = random.Random(7)
    words = ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz", k=dice.randint(2, 9))) for _ in range(2000)]
    folders = [path]
    for number in range(FOLDERS):
        below = os.path.join(dice.choice(folders[-40:]), f"folder{number}")
        os.mkdir(below)
        folders.append(below)
    for number in range(FILES):
        size = min(int(dice.lognormvariate(8.2, 1.7)), 8 << 20)
        text = " ".join(dice.choices(words, k=size // 12 + 1)).encode() + dice.randbytes(size // 2)
        with open(os.path.join(dice.choice(folders), f"file{number}"), "wb") as file:
            file.write(text[:size])


def forget(path):
    """Takes the tree's bytes out of the page cache, and nobody else's."""
    os.sync()
    for where, _, names in os.walk(path):
        for name in names:
            file = os.open(os.path.join(where, name), os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def timed(command, path):
    begun = time.monotonic()
    subprocess.run(["sh", "-c", command], cwd=path, check=True, stdin=subprocess.DEVNULL, timeout=600)
    return time.monotonic() - begun


def tar(path):
    # Through a pipe: tar reads nothing for /dev/null.
    return timed("tar -cf - . | cat > /dev/null", path)


def find(path):
    return timed("find . -type f -size +1 > /dev/null", path)


@contextlib.contextmanager
def mounted(binaries, flist, target, store, cache):
    """The server's process and the seconds until it was ready; unmounted afterwards."""
    ready, told = os.pipe()
    begun = time.monotonic()
    process = subprocess.Popen(
        [f"{binaries}/znode-flist", "mount", flist, target, "--foreground", "--store", store, "--cache", cache,
         "--ready-fd", str(told)], pass_fds=[told], stdin=subprocess.DEVNULL)
    try:
        os.close(told)
        if os.read(ready, 6) != b"ready\n":
            raise RuntimeError("znode-flist was never ready")
        yield process, time.monotonic() - begun
    finally:
        os.close(ready)
        _libc.umount2(target.encode(), MNT_DETACH | UMOUNT_NOFOLLOW)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@bench("flist", "znode-flist", "znode-zdb")
def flist(binaries, runs):
    """tar and find of a tree of 5,000 files: blocks in a 0-db, in the local cache, in the kernel's."""
    samples = Samples()
    with folder() as path:
        tree, target, packed = f"{path}/tree", f"{path}/mount", f"{path}/tree.flist"
        os.mkdir(tree)
        os.mkdir(target)
        make_tree(tree)
        port = free_port()
        with server(f"{binaries}/znode-zdb", "--mode", "user", "--listen", "127.0.0.1", "--port", str(port),
                    "--data", f"{path}/data", "--index", f"{path}/index", port=port):
            store = f"zdb://127.0.0.1:{port}/default"
            subprocess.run([f"{binaries}/znode-flist", "pack", tree, "-o", packed, "--store", store], check=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           timeout=300)
            for run in range(runs):
                forget(tree)
                disk_cold, disk_warm, disk_find = tar(tree), tar(tree), find(tree)
                cache = f"{path}/cache{run}"
                with mounted(binaries, packed, target, store, cache) as (process, ready):
                    cold, warm, warm_find = tar(target), tar(target), find(target)
                    memory = memory_mib(process.pid)
                with mounted(binaries, packed, target, store, cache):
                    cached = tar(target)
                samples.add("mount to ready", "ms", "lower", ready * 1000)
                bytes_gone = "the tree on the disk, out of the page cache"
                samples.add("tar cold, from a 0-db", "s", "lower", cold, bytes_gone, disk_cold)
                samples.add("tar, new mount, local cache", "s", "lower", cached, bytes_gone, disk_cold)
                samples.add("tar warm", "s", "lower", warm, "the tree on the disk, warm", disk_warm)
                samples.add("find warm", "s", "lower", warm_find, "the tree on the disk, warm", disk_find)
                samples.add("memory of the server", "MiB", "lower", memory)
    return samples.done()
