#include "notes.hpp"

#include <sys/stat.h>

#include "base/text.hpp"

namespace znode::agent {

Task<Result<std::optional<std::string>>> Notes::fact(std::string key)
{
    co_return co_await store_.run([&] { return journal_.fact(key); });
}

Task<Result<>> Notes::set_fact(std::string key, std::string value)
{
    co_return co_await store_.run([&] { return journal_.set_fact(key, value); });
}

Task<Result<identity::PublicKey>> Notes::user_key(std::int64_t owner, bool fresh)
{
    if (const auto known = keys_.find(owner); known != keys_.end() && !fresh)
        co_return known->second;
    const auto name = "user.key." + std::to_string(owner);
    CO_TRY(auto hex, co_await fact(name));
    if (!hex || hex->empty() || fresh) {
        auto user = co_await api_.user(owner);
        if (!user)
            co_return tl::unexpected(std::move(user).error().during(
                "ask for the key of customer " + std::to_string(owner)));
        hex = user->pubkey;
        CO_TRY_DO(co_await set_fact(name, *hex));
    }
    CO_TRY(const auto key, identity::key_of_hex(*hex));
    keys_.insert_or_assign(owner, key);
    co_return key;
}

Task<Result<std::uint32_t>> Notes::uid_range(std::int64_t owner)
{
    co_return co_await store_.run([&] { return journal_.uid_range(owner, first_uid_); });
}

Task<Result<>> Notes::find_uid_ranges(storage::Volumes* volumes, Blocking* disks)
{
    CO_TRY(const bool known, co_await store_.run([&] { return journal_.has_uid_ranges(); }));
    if (known) co_return Result<>{};
    CO_TRY(const auto all, co_await volumes->list());
    for (const auto& volume : all) {
        struct stat info{};
        const auto owner = to_number<std::int64_t>(volume.owner);
        if (volume.purpose != storage::Purpose::rootfs || !owner) continue;
        const auto upper = volume.path / "upper";
        const int looked = co_await disks->run([&] { return ::stat(upper.c_str(), &info); });
        if (looked != 0 || info.st_uid == 0) continue;
        CO_TRY_DO(
            co_await store_.run([&] { return journal_.keep_uid_range(*owner, info.st_uid); }));
    }
    co_return Result<>{};
}

}  // namespace znode::agent
