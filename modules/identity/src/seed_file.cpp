#include <nlohmann/json.hpp>

#include "base/failpoint.hpp"
#include "identity/bip39.hpp"
#include "identity/identity.hpp"
#include "kernel/files.hpp"

namespace znode::identity {
namespace {

// A JSON string, quotes included, directly followed by the content of that version.
constexpr std::string_view header_1_0_0 = "\"1.0.0\"";
constexpr std::string_view header_1_1_0 = "\"1.1.0\"";
constexpr std::size_t seed_size = 32;
constexpr mode_t only_owner_reads = 0400;

/// The members of a 1.1.0 file. nlohmann's own messages quote the input, which is a secret.
Result<Identity> parse_words(std::string_view content)
{
    auto document =
        nlohmann::json::parse(content, nullptr, /*allow_exceptions=*/false, /*comments=*/false);
    if (!document.is_object()) return fail(Errc::corrupt, "content is not a JSON object");

    const auto words = document.find("mnemonic");
    if (words == document.end() || !words->is_string())
        return fail(Errc::corrupt, "member mnemonic (24 words) is missing");
    const Secret kept{words->get<std::string>()};
    wipe(words->get_ref<std::string&>());
    auto seed = seed_of(kept);
    if (!seed) return fail(Errc::corrupt, std::move(seed).error().message);

    TRY(auto self, Identity::from_seed(*seed));
    const auto user = document.find("threebotid");
    if (user != document.end() && user->is_number_integer())
        self.set_user_id(user->get<std::int64_t>());
    return self;
}

Result<> save(const std::filesystem::path& file, const Secret& content)
{
    FP("identity.save");
    if (file.has_parent_path()) TRY_DO(kernel::make_folders(file.parent_path(), 0700));
    return kernel::write_file_atomically(file, content.reveal(), only_owner_reads);
}

}  // namespace

Result<Identity> Identity::parse(const Secret& content, bool* unversioned)
{
    const auto text = content.reveal();
    if (unversioned != nullptr) *unversioned = false;

    if (text.starts_with(header_1_1_0)) return parse_words(text.substr(header_1_1_0.size()));
    if (text.starts_with(header_1_0_0)) {
        const auto seed = text.substr(header_1_0_0.size());
        if (seed.size() != seed_size)
            return fail(
                Errc::corrupt,
                "format 1.0.0 has " + std::to_string(seed.size()) + " bytes of seed, not 32");
        return from_seed(Secret{std::string{seed}});
    }
    if (text.size() == seed_size) {
        if (unversioned != nullptr) *unversioned = true;
        return from_seed(content);
    }
    return fail(
        Errc::corrupt, "neither of format 1.0.0 or 1.1.0 nor 32 bytes: restore it from a backup");
}

Result<Identity> Identity::load(const std::filesystem::path& file)
{
    const auto intent = "seed file " + file.string();
    auto read = kernel::read_file(file, std::size_t{64} << 10U);
    if (!read) return tl::unexpected(std::move(read).error().during(intent));

    bool unversioned = false;
    auto self = parse(Secret{*std::move(read)}, &unversioned);
    if (!self) return tl::unexpected(std::move(self).error().during(intent));

    if (unversioned) {
        auto saved = self->save_node(file);
        if (!saved) return tl::unexpected(std::move(saved).error().during(intent));
    }
    return self;
}

Result<Identity> Identity::load_or_create(const std::filesystem::path& file)
{
    auto self = load(file);
    if (self || self.error().code != Errc::not_found) return self;

    auto fresh = generate();
    TRY_DO(fresh.save_node(file));
    return fresh;
}

Result<> Identity::save_node(const std::filesystem::path& file) const
{
    std::string content{header_1_0_0};
    content += seed_.reveal();
    return save(file, Secret{std::move(content)});
}

Result<> Identity::save_user(const std::filesystem::path& file) const
{
    // The words are plain letters: nothing to escape.
    std::string content{header_1_1_0};
    content.reserve(512);
    content += R"({"mnemonic":")";
    content += words_of(seed_).reveal();
    content += '"';
    if (user_id_) content += ",\"threebotid\":" + std::to_string(*user_id_);
    content += '}';
    return save(file, Secret{std::move(content)});
}

}  // namespace znode::identity
