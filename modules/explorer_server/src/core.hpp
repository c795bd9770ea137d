#pragma once
// The explorer without network: requests in, answers out, one transaction each. Runs on the store
// lane; knows no loop.

#include <charconv>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "explorer_server/explorer_server.hpp"
#include "grid/document.hpp"
#include "grid/farm.hpp"
#include "grid/node.hpp"
#include "grid/pool.hpp"
#include "grid/workload.hpp"
#include "http/message.hpp"
#include "http/url.hpp"
#include "kernel/fd.hpp"
#include "store/database.hpp"

namespace znode::explorer_server {

/// Why a request is not granted, in the form that clients of the grid know.
struct Refusal {
    enum class Form { json, signature, plain, empty };

    unsigned status = 500;
    std::string text = {};
    Form form = Form::json;
    bool keeps_changes = false;  ///< Ids are used up by this refusal, or a document stays.

    Refusal() = default;
    Refusal(unsigned code, std::string reason, Form how = Form::json)
        : status{code}, text{std::move(reason)}, form{how}
    {
    }
    // NOLINTNEXTLINE(google-explicit-constructor): TRY turns an Error into a Refusal.
    Refusal(Error error);
    Refusal keeping() &&
    {
        keeps_changes = true;
        return std::move(*this);
    }
};
template <class T = http::Reply>
using Answer = tl::expected<T, Refusal>;

inline tl::unexpected<Refusal> refuse(
    unsigned status, std::string text, Refusal::Form form = Refusal::Form::json)
{
    return tl::unexpected(Refusal{status, std::move(text), form});
}
/// The originals' word for what is not in their database.
inline constexpr const char* no_document = "mongo: no documents in result";

/// One request, taken apart.
struct Call {
    const http::Request& request;
    http::Target target;
    std::vector<std::string> parts;  ///< What the wildcards of the route matched.
    bool old_prefix = false;         ///< /explorer instead of /api/v1.
    std::int64_t now = 0;
    std::string signer = {};  ///< Key id, where the route demands a signature.

    std::string_view part(std::size_t index) const { return parts[index]; }
    std::optional<std::string_view> argument(std::string_view name) const
    {
        return target.find(name);
    }
};

http::Reply json_reply(unsigned status, std::string json);
http::Reply null_reply(unsigned status);
http::Reply reply_of(const Refusal& refusal);

/// `text` as the originals' Go reads an integer; 400 with its words otherwise.
Answer<std::int64_t> integer_of(std::string_view text, std::string_view prefix = "");

/// LIMIT and OFFSET of a list, and the value of its Pages header.
struct Paging {
    std::int64_t page = 1;
    std::int64_t size = 100;
    bool size_is_asked = false;  ///< By the client, who can ask for a smaller one.
    static Paging of(const Call& call);
    std::int64_t offset() const { return (page - 1) * size; }
    void mark(http::Reply& reply, std::int64_t total) const;
};

/// What is read of a request: a value costs a hundred times the memory of its text.
inline constexpr grid::json::Limits sent_limits{.values = 50'000};
/// What was taken is read back whatever it has grown to: escaping and the members that a client
/// left out make it larger than what was sent.
inline constexpr grid::json::Limits stored_limits{
    .bytes = std::size_t{1} << 30U, .depth = 128, .values = std::size_t{1} << 28U};

/// How large a document may be as it is stored. Nodes read entries of 1 MiB at most; what is
/// ordered leaves room for the signatures and results that are still to come.
inline constexpr std::size_t largest_order = std::size_t{640} << 10U;
inline constexpr std::size_t largest_result = std::size_t{256} << 10U;
inline constexpr std::size_t largest_workload = (std::size_t{1} << 20U) - 128;
static_assert(largest_order + largest_result + (std::size_t{64} << 10U) < largest_workload);
inline constexpr std::size_t largest_reservation_order = std::size_t{1} << 20U;
inline constexpr std::size_t largest_part_result = std::size_t{64} << 10U;
inline constexpr std::size_t largest_results = std::size_t{2} << 20U;  ///< Of all parts together.
inline constexpr std::size_t largest_reservation = std::size_t{4} << 20U;
static_assert(  // One error has more than its part's share.
    largest_reservation_order + largest_results + largest_part_result + (std::size_t{512} << 10U) <
    largest_reservation);
inline constexpr std::size_t largest_proofs = std::size_t{256} << 10U;  ///< Of a node, together.
/// What a node or farm says of itself, proofs and addresses apart: a hundred of them are a page.
inline constexpr std::size_t largest_self = std::size_t{64} << 10U;
inline constexpr std::size_t largest_node = std::size_t{4} << 20U;  ///< With its proofs.
/// With its addresses, all of them taken: whoever takes one must not find it too large.
inline constexpr std::size_t largest_farm = std::size_t{320} << 10U;
/// Former versions took so much; what they left can still be taken, given back and removed.
inline constexpr std::size_t largest_old_farm = std::size_t{1} << 20U;
inline constexpr std::size_t largest_pool = std::size_t{4} << 20U;
inline constexpr std::size_t largest_small = std::size_t{64} << 10U;  ///< Everything else.
inline constexpr std::size_t longest_line = 4096;  ///< Names, hosts, addresses of e-mail.
inline constexpr std::size_t longest_description = 16U << 10U;
/// A page of a list that gets larger is refused, unless it has one document only.
inline constexpr std::size_t list_page_bytes = std::size_t{32} << 20U;
/// Of everybody's orders, larger ones are left out of a page that nobody asked a size for: a few
/// of a stranger's would close the list to all.
inline constexpr std::size_t largest_listed = std::size_t{320} << 10U;
/// What is added to a stored document when it is shown or configured.
inline constexpr std::size_t shown_more = std::size_t{4} << 10U;
static_assert(100 * (largest_farm + shown_more) < list_page_bytes);
static_assert(100 * (largest_self + largest_proofs + shown_more) < list_page_bytes);
static_assert(100 * (largest_listed + shown_more) < list_page_bytes);
/// Who reads waits for the next visit once a visit has answered so much.
inline constexpr std::size_t visit_bytes = std::size_t{32} << 20U;

/// The document as it is stored. Errc::invalid when it is larger than this.
template <class T>
Result<std::string> stored_text(const T& document, std::string_view what, std::size_t largest)
{
    auto text = grid::to_json(document);
    if (text.size() > largest)
        return fail(
            Errc::invalid,
            std::string{what} + " of " + std::to_string(text.size()) + " bytes is larger than " +
                std::to_string(largest));
    return text;
}
/// Appends to a page: a JSON list that has its first bracket. False, and nothing appended, when the
/// page would get too large.
bool append_to_page(std::string& list, std::string_view item);
/// 413: whoever asked must ask for smaller pages.
tl::unexpected<Refusal> page_too_large();

/// 400 for a text of a document that is longer than this.
Answer<> check_length(std::string_view text, std::string_view what, std::size_t longest);

/// Decodes a body; 400 with the decoder's words.
template <class T>
Answer<T> body_of(const Call& call)
{
    auto document = grid::from_json<T>(call.request.body, sent_limits);
    if (!document) return refuse(400, std::move(document).error().message);
    return *std::move(document);
}

class Core {
public:
    Core(store::Database database, Options options, std::string database_id, Log log)
        : db{std::move(database)},
          options{std::move(options)},
          database_id{std::move(database_id)},
          log{std::move(log)}
    {
    }

    /// Opens the database, brings its schema up to date.
    static Result<std::unique_ptr<Core>> open(Options options, Log log);

    /// Answers everything but the waiting of a long poll.
    http::Reply handle(const http::Request& request, std::int64_t now);
    /// What its head alone refuses a request for: a missing, stale or forged signature. Changes
    /// nothing.
    std::optional<http::Reply> refuse_head(const http::Request& request, std::int64_t now);
    /// The same for several: those that write in their order, with one transaction and so one wait
    /// for the disk, then those that read. A refused one leaves nothing behind and harms no other.
    /// Beyond `room` bytes of answers those that read have none: they are to be handed in again.
    std::vector<std::optional<http::Reply>> handle_all(
        const std::vector<const http::Request*>& requests,
        std::int64_t now,
        std::size_t room = visit_bytes);

    /// Ends what empty pools can't pay any more, and what was ordered until now; when to look again
    /// (unix seconds).
    Result<std::int64_t> expire(std::int64_t now);

    // Storage of documents. All of it inside of the transaction of the request.
    Result<std::int64_t> next_id(std::string_view counter);
    Result<std::int64_t> last_id(std::string_view counter);
    Result<std::optional<grid::User>> user(std::int64_t id);
    Result<std::optional<grid::Farm>> farm(std::int64_t id);
    Result<> save_farm(const grid::Farm& farm);
    Result<std::optional<grid::Node>> node(const std::string& node_id);
    Result<> save_node(const grid::Node& node);
    Result<std::optional<grid::Gateway>> gateway(const std::string& node_id);
    Result<std::optional<grid::Pool>> pool(std::int64_t id);
    Result<> save_pool(const grid::Pool& pool);

    struct StoredWorkload {
        grid::Workload document;
        std::int64_t customer_epoch = 0;  ///< What the customer signed; `epoch` is the server's.
        bool has_epoch = false;
    };
    Result<std::optional<StoredWorkload>> workload(std::int64_t id);
    Result<> save_workload(const StoredWorkload& workload);
    /// Puts it into its node's queue and wakes the node.
    Result<> enqueue(const std::string& node, std::int64_t id, std::int64_t workload_id);
    Result<> dequeue(const std::string& node, std::int64_t id, std::int64_t workload_id);
    Result<> enqueue(const grid::Workload& workload)
    {
        return enqueue(workload.node_id, workload.id, workload.workload_id);
    }
    Result<> dequeue(const grid::Workload& workload)
    {
        return dequeue(workload.node_id, workload.id, workload.workload_id);
    }
    /// The node's ETag: changes with everything that becomes deliverable.
    Result<std::string> etag_of(const std::string& node);
    /// Whether the node has something new from this id on.
    Result<bool> anything_new(const std::string& node, std::int64_t from);

    /// The key of a user's key id, in the words of the original verifier.
    Result<std::array<unsigned char, 32>> key_of_user_signer(const std::string& key_id);

    /// Rows of documents, decoded one by one and given to `take` until it says false. One that
    /// can't be read is logged and left out: it must not take the others with it.
    template <class T, class Take>
    Result<> each_document(
        std::string_view sql, const std::vector<store::Value>& values, const Take& take)
    {
        return db.query(sql, values, [&](const store::Row& row) {
            auto document = grid::from_json<T>(row.text(0), stored_limits);
            if (document) return bool{take(*document)};
            log->error(
                "stored document is left out error=\"{}\" begin=\"{}\"",
                document.error().message,
                printable_start(row.text(0)));
            return true;
        });
    }
    template <class T>
    Result<std::vector<T>> documents(
        std::string_view sql, const std::vector<store::Value>& values = {})
    {
        std::vector<T> found;
        TRY_DO(each_document<T>(sql, values, [&](T& document) {
            found.push_back(std::move(document));
            return true;
        }));
        return found;
    }
    /// A page of documents as a JSON list, each shown after `edit`; refused when it gets too large.
    template <class T, class Edit>
    Answer<std::string> list_of(
        std::string_view sql, const std::vector<store::Value>& values, const Edit& edit)
    {
        std::string list = "[";
        bool fits = true;
        TRY_DO(each_document<T>(sql, values, [&](T& document) {
            edit(document);
            fits = append_to_page(list, grid::to_json(document));
            return fits;
        }));
        if (!fits) return page_too_large();
        return std::move(list) + "]";
    }
    template <class T>
    Result<std::optional<T>> document(std::string_view sql, const std::vector<store::Value>& values)
    {
        std::optional<T> found;
        std::optional<Error> broken;
        TRY_DO(db.query(sql, values, [&](const store::Row& row) {
            auto document = grid::from_json<T>(row.text(0), stored_limits);
            if (document)
                found = *std::move(document);
            else
                broken = Error{Errc::corrupt, std::move(document).error().message};
            return false;
        }));
        if (broken) return tl::unexpected(std::move(*broken).during("stored document"));
        return found;
    }

    store::Database db;
    const Options options;
    const std::string database_id;
    Log log;
    std::set<std::string> woken;  ///< Nodes that have something new since the last look.
    bool timer_changed = false;   ///< Something may end earlier than the timer thinks.

    /// Whether a request only reads the hub's folder. Those are handled on the hub's lane, beside
    /// everything else: they touch no database, and of the core only what follows.
    bool reads_hub(const http::Request& request) const;
    struct Digest {
        std::int64_t size = 0;
        std::int64_t changed = 0;  ///< Nanoseconds.
        std::string md5;
    };
    std::map<std::string, Digest> digests;  ///< By path.
    std::optional<kernel::Fd> opened;       ///< The file that is the body of the answer just given.

private:
    static std::string printable_start(std::string_view text);
    Result<std::int64_t> expire_pools(std::int64_t now);
    Result<> expire_pool(std::int64_t id, std::int64_t now);
    Answer<> dispatch(const http::Request& request, std::int64_t now);
    http::Reply reply_to(const http::Request& request, Answer<> answer);
};

// The routes' handlers, one file per subject.
Answer<> list_users(Core& core, Call& call);
Answer<> get_user(Core& core, Call& call);
Answer<> create_user(Core& core, Call& call);
Answer<> update_user(Core& core, Call& call);
Answer<> validate_user(Core& core, Call& call);

Answer<> list_farms(Core& core, Call& call);
Answer<> get_farm(Core& core, Call& call);
Answer<> create_farm(Core& core, Call& call);
Answer<> update_farm(Core& core, Call& call);
Answer<> add_farm_ips(Core& core, Call& call);
Answer<> remove_farm_ips(Core& core, Call& call);
Answer<> remove_farm_node(Core& core, Call& call);

Answer<> list_deals(Core& core, Call& call);
Answer<> get_deal(Core& core, Call& call);
Answer<> put_deal(Core& core, Call& call);
Answer<> delete_deal(Core& core, Call& call);

Answer<> list_nodes(Core& core, Call& call);
Answer<> get_node(Core& core, Call& call);
Answer<> register_node(Core& core, Call& call);
Answer<> set_interfaces(Core& core, Call& call);
Answer<> set_ports(Core& core, Call& call);
Answer<> set_capacity(Core& core, Call& call);
Answer<> set_uptime(Core& core, Call& call);
Answer<> set_used(Core& core, Call& call);
Answer<> configure_public(Core& core, Call& call);
Answer<> configure_free(Core& core, Call& call);
Answer<> configure_dedicated(Core& core, Call& call);
Answer<> register_gateway(Core& core, Call& call);
Answer<> set_gateway_uptime(Core& core, Call& call);
Answer<> set_gateway_used(Core& core, Call& call);
Answer<> list_gateways(Core& core, Call& call);
Answer<> get_gateway(Core& core, Call& call);

Answer<> get_prices(Core& core, Call& call);
Answer<> create_pool(Core& core, Call& call);
Answer<> get_pool(Core& core, Call& call);
Answer<> list_pools(Core& core, Call& call);
Answer<> get_payment(Core& core, Call& call);

Answer<> create_workload(Core& core, Call& call);
Answer<> list_workloads(Core& core, Call& call);
Answer<> get_workload(Core& core, Call& call);
Answer<> sign_delete(Core& core, Call& call);
Answer<> sign_provision(Core& core, Call& call);
Answer<> get_conversion(Core& core, Call& call);
Answer<> post_conversion(Core& core, Call& call);

Answer<> create_reservation(Core& core, Call& call);
Answer<> list_reservations(Core& core, Call& call);
Answer<> get_reservation(Core& core, Call& call);
Answer<> sign_reservation_provision(Core& core, Call& call);
Answer<> sign_reservation_delete(Core& core, Call& call);

Answer<> poll_reservations(Core& core, Call& call);
Answer<> get_part(Core& core, Call& call);
Answer<> put_part(Core& core, Call& call);
Answer<> delete_part(Core& core, Call& call);

Answer<> poll_workloads(Core& core, Call& call);
Answer<> get_by_gwid(Core& core, Call& call);
Answer<> put_result(Core& core, Call& call);
Answer<> confirm_deleted(Core& core, Call& call);

Answer<> hub_alive(Core& core, Call& call);
Answer<> hub_list(Core& core, Call& call);
Answer<> hub_light(Core& core, Call& call);
Answer<> hub_get(Core& core, Call& call);
Answer<> hub_put(Core& core, Call& call);

// Shared by several subjects.

/// Whether the request publishes a flist, as far as its head tells.
bool publishes(const http::Request& head);
/// 401 unless the request is signed by a user; gives the user's id.
Answer<std::int64_t> signing_user(Core& core, const Call& call);
/// Whether a valid user's signature over at least these headers is there.
bool is_signed_by_user(Core& core, const Call& call, std::vector<std::string> required);
/// 401 unless signed by a node or gateway; gives its id.
Answer<std::string> signing_node(Core& core, const Call& call);

/// The farm of the path, for its owner only; the originals say these refusals in plain text.
Answer<grid::Farm> own_farm(Core& core, const Call& call);
/// Refuses with this status unless the hex key is the one that the id stands for.
Answer<> check_own_key(const std::string& key_hex, const std::string& id, unsigned status);
/// Whether nothing of a location is said.
bool is_nowhere(const grid::Location& where);
/// Bytes of hex digits; 400 with the originals' complaint about them behind `intent`.
Answer<std::string> hex_of(std::string_view text, const std::string& intent);
/// A name of the path: 400 for numbers beyond all ids, 404 with these words for what is none.
Answer<grid::Gwid> gwid_of(std::string_view text, const char* not_found);
/// The member `from` of a poll; 404 as for an unknown path when it is no number.
Answer<std::int64_t> cursor_of(const Call& call);
/// 401, 403 unless the request is signed by the node that it speaks for. The originals believe
/// anybody.
Answer<> must_be_the_node(Core& core, const Call& call, const std::string& node);
/// 401 unless the result in the body is signed by the node.
Answer<> must_be_signed(
    Core& core, const Call& call, const std::string& node, const grid::WorkloadResult& result);
/// Ends reservations whose time has come; when the next one's does (unix seconds).
Result<std::int64_t> expire_reservations(Core& core, std::int64_t now);

/// The ids of a page of what customers ordered, ascending, by the filters `customer_tid` and
/// `next_action`; without those beyond `largest_listed` where neither a customer nor a size is
/// named. The answer lacks its body.
Answer<> list_of_customers(
    Core& core, const Call& call, std::string_view table, std::vector<std::int64_t>& ids);
/// A workload as everybody sees it: the pipeline applied, the customer's epoch added.
std::string show(const Core::StoredWorkload& workload);
/// The record of a pool's payment: nothing was to be paid, and all of it is.
Result<> save_payment(Core& core, std::int64_t id, std::int64_t farm, std::int64_t now);
/// Runs `work` as a part of the transaction that stands for itself: false, with what it has done
/// undone and the reason logged, when it fails.
Result<bool> on_its_own(Core& core, std::string_view what, const std::function<Result<>()>& work);
/// Ends the charging of a workload and gives its public address back.
Result<> release(Core& core, const grid::Workload& workload, std::int64_t now);

}  // namespace znode::explorer_server
