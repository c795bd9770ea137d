#include <iostream>
#include <iterator>

#include "commands.hpp"
#include "grid/document.hpp"
#include "kernel/files.hpp"
#include "session.hpp"
#include "status/terminal.hpp"

namespace znode::zgrid {

namespace {

void show_user(const Context& context, const grid::User& user)
{
    if (context.json)
        print(grid::to_json(user) + '\n');
    else
        print(
            "user " + std::to_string(user.id) + ", " + status::shown(user.name) + ", identity in " +
            context.identity.string() + '\n');
}

/// The key that an interrupted run left, or a fresh one, safely on disk before anybody hears of it.
Result<identity::Identity> key_for_new_user(const std::filesystem::path& file)
{
    auto known = identity::Identity::load(file);
    if (!known && known.error().code != Errc::not_found) return known;
    if (known && known->user_id())
        return fail(
            Errc::exists,
            file.string() + " belongs to user " + std::to_string(*known->user_id()) +
                "; give another file with --identity");
    if (known) return known;
    if (file.has_parent_path()) TRY_DO(kernel::make_folders(file.parent_path(), 0700));
    auto fresh = identity::Identity::generate();
    TRY_DO(fresh.save_user(file));
    return fresh;
}

Task<Result<>> create_user(Context* context, std::string name, std::string email)
{
    CO_TRY(auto key, key_for_new_user(context->identity));
    CO_TRY(auto session, co_await open_session(context, Who::key));
    auto created = co_await session->api->create_user(name, email);
    if (!created && created.error().code == Errc::exists) {
        // An interrupted run may have registered this very key.
        const auto taken = co_await session->api->user_named(name);
        if (taken && taken->pubkey == key.public_key_hex()) created = *taken;
    }
    if (!created) co_return tl::unexpected(std::move(created).error());
    key.set_user_id(created->id);
    CO_TRY_DO(key.save_user(context->identity));
    show_user(*context, *created);
    co_return Result<>{};
}

Task<Result<>> update_user(Context* context, grid::User changes)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(auto user, co_await session->api->user(session->user()));
    user.email = std::move(changes.email);
    user.host = std::move(changes.host);
    user.description = std::move(changes.description);
    CO_TRY_DO(co_await session->api->update_user(user));
    show_user(*context, user);
    co_return Result<>{};
}

Task<Result<>> show_identity(Context* context)
{
    CO_TRY(auto session, co_await open_session(context, Who::user));
    CO_TRY(const auto user, co_await session->api->user(session->user()));
    show_user(*context, user);
    co_return Result<>{};
}

/// The bytes of a file, or of the standard input for "-".
Result<std::string> bytes_of(const std::string& file)
{
    if (file != "-") return kernel::read_file(file);
    return std::string{std::istreambuf_iterator<char>{std::cin}, {}};
}

struct Statement {
    std::int64_t user = 0;
    std::string file;
    std::string signature;
};

/// Not said of what was not signed: the exit code tells scripts.
Task<Result<>> validate(Context* context, Statement statement)
{
    CO_TRY(auto bytes, bytes_of(statement.file));
    CO_TRY(auto session, co_await open_session(context, Who::anybody));
    CO_TRY(
        const bool valid,
        co_await session->api->validate(
            statement.user, std::move(bytes), std::move(statement.signature)));
    const auto who = "user " + std::to_string(statement.user);
    if (context->json)
        print(std::string{"{\"is_valid\":"} + (valid ? "true" : "false") + "}\n");
    else
        print(who + (valid ? " has signed this\n" : " has not signed this\n"));
    if (!valid) context->exit_code = failed;
    co_return Result<>{};
}

Result<> sign(const Context& context, const std::string& file)
{
    TRY(const auto bytes, bytes_of(file));
    TRY(const auto self, identity::Identity::load(context.identity));
    print(self.sign_hex(bytes) + '\n');
    return {};
}

void add_statements(CLI::App& user, Context& context)
{
    const auto statement = std::make_shared<Statement>();
    auto* check = user.add_subcommand("validate", "whether a user has signed a file");
    check->add_option("ID", statement->user, "of the user")->required();
    check->add_option("FILE", statement->file, "- for the standard input")->required();
    check->add_option("SIGNATURE", statement->signature, "hex, as user sign prints it")->required();
    check->callback([&context, statement] { execute(context, validate(&context, *statement)); });

    auto* make = user.add_subcommand("sign", "sign a file with your identity");
    make->add_option("FILE", statement->file, "- for the standard input")->required();
    make->callback([&context, statement] {
        if (const auto done = sign(context, statement->file); !done) report(context, done.error());
    });
}

}  // namespace

void add_user(CLI::App& app, Context& context)
{
    auto* user = app.add_subcommand("user", "who you are to the explorer");
    user->require_subcommand(1);

    auto* create = user->add_subcommand("create", "register, and make the identity file");
    auto name = std::make_shared<std::string>();
    auto email = std::make_shared<std::string>();
    create->add_option("NAME", *name, "lower case, such as anna.3bot")->required();
    create->add_option("--email", *email)->required();
    create->callback(
        [&context, name, email] { execute(context, create_user(&context, *name, *email)); });

    auto* update = user->add_subcommand("update", "change what is known of you");
    auto changes = std::make_shared<grid::User>();
    update->add_option("--email", changes->email);
    update->add_option("--host", changes->host);
    update->add_option("--description", changes->description);
    update->callback([&context, changes] { execute(context, update_user(&context, *changes)); });

    add_statements(*user, context);
    user->add_subcommand("show", "who the identity file belongs to")->callback([&context] {
        execute(context, show_identity(&context));
    });
}

}  // namespace znode::zgrid
