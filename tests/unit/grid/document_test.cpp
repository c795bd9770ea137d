#include "grid/document.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "grid/challenge.hpp"
#include "grid/farm.hpp"
#include "grid/node.hpp"
#include "grid/pool.hpp"
#include "grid/units.hpp"
#include "grid/workload.hpp"

namespace znode::grid {
namespace {

using testing::HasSubstr;

template <class T>
std::string error_of(std::string_view text)
{
    const auto document = from_json<T>(text);
    EXPECT_FALSE(document) << text;
    return document ? "" : document.error().message;
}

TEST(DocumentTest, MembersAreFoundInAnyCaseAndTheLastCounts)
{
    const auto user = from_json<User>(R"({"NAME":"a","Id":1,"unknown":[{}],"name":"b","ID":7})");

    ASSERT_TRUE(user) << user.error().message;
    EXPECT_EQ(user->name, "b");
    EXPECT_EQ(user->id, 7);
}

TEST(DocumentTest, NullIsUnset)
{
    const auto workload = from_json<Workload>(
        R"({"workload_type":1,"id":null,"result":null,"volumes":null,"environment":null,
            "capacity":null,"node_id":null,"version":2147483647})");

    ASSERT_TRUE(workload) << workload.error().message;
    EXPECT_EQ(workload->version, 2147483647);
    EXPECT_TRUE(std::get<Container>(workload->data).volumes.is_null());
    EXPECT_TRUE(from_json<User>("null"));
}

TEST(DocumentTest, WrongTypesAreNamedWithTheirPath)
{
    EXPECT_EQ(
        error_of<Workload>(R"({"workload_type":10,"peers":[{},{"iprange":"10.0.0.1"}]})"),
        "peers: 1: iprange: invalid CIDR address: 10.0.0.1");
    EXPECT_EQ(
        error_of<Workload>(R"({"workload_type":1,"environment":{"A":1}})"),
        "environment: A: must be text, not 1");
    EXPECT_EQ(error_of<Workload>(R"({"workload_type":3})"), "workload_type 3 is unknown");
    EXPECT_EQ(error_of<Workload>(R"({"workload_type":250})"), "workload_type 250 is unknown");
    EXPECT_THAT(
        error_of<Workload>(R"({"workload_type":256})"), HasSubstr("workload_type: must be"));
    EXPECT_THAT(error_of<Workload>(R"({"workload_type":2,"size":1.5})"), HasSubstr("size"));
    EXPECT_THAT(error_of<Workload>(R"({"workload_type":2,"size":"1"})"), HasSubstr("size"));
    EXPECT_THAT(error_of<Workload>(R"({"epoch":null})"), HasSubstr("date"));
    EXPECT_THAT(error_of<UptimeReport>(R"({"uptime":-1})"), HasSubstr("not negative"));
    EXPECT_THAT(error_of<UsedReport>(R"({"volume":65536})"), HasSubstr("volume"));
    EXPECT_THAT(error_of<User>("[]"), HasSubstr("object"));
}

TEST(DocumentTest, AnswersWithoutTheirPointAreRefused)
{
    EXPECT_EQ(error_of<PoolReply>("{}"), "member reservation_id is missing");
    EXPECT_EQ(
        error_of<CreateReply>(R"({"reservation_id":null})"), "member reservation_id is missing");
    EXPECT_EQ(error_of<CreatedId>("null"), "member id is missing");
}

TEST(DocumentTest, UnsetAndEmptyListsAreKeptApart)
{
    const auto list = list_from_json<Interface>(
        R"([{"name":"zos","addrs":[],"gateway":null,"macaddress":"AA-BB-CC-DD-EE-FF"}])");

    ASSERT_TRUE(list) << list.error().message;
    EXPECT_EQ(
        list_to_json(*list),
        R"([{"name":"zos","addrs":[],"gateway":null,"macaddress":"aa:bb:cc:dd:ee:ff"}])");
    EXPECT_EQ(list_to_json<Node>({}), "[]");
    EXPECT_TRUE(list_from_json<Node>("null")->empty());
}

TEST(DocumentTest, RawMembersKeepTheirText)
{
    const auto result = from_json<WorkloadResult>(
        R"({"data_json":{"b": 1.50 ,"a":1e3,"a":"<"},"state":1,"workload_id":"1-1"})");

    ASSERT_TRUE(result);
    EXPECT_EQ(result->data.text, R"({"b":1.50,"a":1e3,"a":"\u003c"})");
    EXPECT_THAT(to_json(*result), HasSubstr(R"("data_json":{"b":1.50,"a":1e3,"a":"\u003c"},)"));
}

TEST(DocumentTest, PoolThatNothingUsesKeepsItsDigits)
{
    Pool pool;
    pool.empty_at = Pool::never;
    pool.cus = 2592000;
    pool.sus = 0.1;

    const auto text = to_json(pool);

    EXPECT_THAT(text, HasSubstr("\"empty_at\":9223372036854775807"));
    EXPECT_THAT(text, HasSubstr("\"cus\":2592000,\"sus\":0.1,"));
    EXPECT_EQ(from_json<Pool>(text)->empty_at, Pool::never);
}

TEST(DocumentTest, UsedReportIsFlat)
{
    UsedReport report;
    report.resources.cru = 2;
    report.resources.sru = 140.25;
    report.workloads.volume = 1;

    EXPECT_EQ(
        to_json(report),
        R"({"cru":2,"mru":0,"hru":0,"sru":140.25,"network":0,"network_resource":0,"volume":1,)"
        R"("zdb_namespace":0,"container":0,"k8s_vm":0,"proxy":0,"reverse_proxy":0,"subdomain":0,)"
        R"("delegate_domain":0})");
}

TEST(ZdbResultTest, OldAndNewFormAreReadAndWritten)
{
    for (const std::string text :
         {R"({"Namespace":"1-1","IPs":["::1"],"Port":9900})",
          R"({"Namespace":"1-1","IP":"::1","Port":9900})",
          R"({"Namespace":"1-1","IPs":["::1"],"IP":"::1","Port":9900})"})
        EXPECT_EQ(to_json(*from_json<ZdbResult>(text)), text);
}

/// A document that a stranger has damaged is read or refused, never more.
TEST(DocumentTest, MutatedDocumentsDoNoHarm)
{
    Workload workload;
    workload.workload_type = WorkloadType::container;
    Container container;
    container.environment = {{"A", "é<\u2028>"}, {"B", ""}};
    container.network_connection = {{.network_id = "net", .ipaddress = *Ip::parse("2a02::1")}};
    container.logs = {{.type = "redis", .data = {.stdout_url = "redis://h/x"}}};
    workload.data = container;
    workload.result.data.text = R"({"a":[1.5,"\u003c"]})";
    const auto whole = to_json(workload);

    std::mt19937 random{1};
    const auto any = [&](std::size_t bound) { return random() % bound; };
    for (int round = 0; round < 5'000; ++round) {
        auto damaged = whole;
        for (auto hits = 1 + any(4); hits > 0; --hits) {
            const auto at = any(damaged.size());
            switch (any(3)) {
                case 0:
                    damaged[at] = static_cast<char>(any(256));
                    break;
                case 1:
                    damaged.erase(at, 1 + any(20));
                    break;
                default:
                    damaged.insert(at, damaged.substr(any(damaged.size()), any(30)));
                    break;
            }
        }
        const auto read = from_json<Workload>(damaged);
        if (!read) continue;
        const auto text = to_json(*read);
        const auto again = from_json<Workload>(text);
        ASSERT_TRUE(again) << again.error().message << "\n" << text;
        EXPECT_EQ(to_json(*again), text);
    }
}

TEST(ChallengeTest, UnsetAddressPrintsAsNilAndUnknownEnumAsUnknown)
{
    Workload workload;
    workload.workload_type = WorkloadType::container;
    workload.epoch = {0};
    Container container;
    container.network_connection = {{.network_id = "net"}};
    container.capacity.disk_type = static_cast<DiskType>(9);
    workload.data = container;

    EXPECT_EQ(challenge(workload), "000CONTAINER0falsenet<nil>false000UNKNOWN");
}

TEST(UnitsTest, ContainerPaysForDiskBeyondFiftyGibibytes)
{
    ContainerCapacity capacity;
    capacity.cpu = 1;
    capacity.memory = 200;
    capacity.disk_size = 52224;
    capacity.disk_type = DiskType::ssd;

    const auto units = container_units(capacity);

    EXPECT_DOUBLE_EQ(units.mru, 0.1953);
    EXPECT_DOUBLE_EQ(units.sru, 1);
    EXPECT_DOUBLE_EQ(cloud_units(units).cu, 0.049);
    EXPECT_DOUBLE_EQ(cloud_units(units).su, 0.003);
}

}  // namespace
}  // namespace znode::grid
