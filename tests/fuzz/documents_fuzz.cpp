// Documents of both eras out of any bytes: refused with a reason, or read into something that is
// written in one way and read again as the same.

#include <cstdlib>
#include <iostream>

#include "grid/document.hpp"
#include "grid/farm.hpp"
#include "grid/legacy.hpp"
#include "grid/node.hpp"
#include "grid/pool.hpp"
#include "grid/workload.hpp"

namespace {

using namespace znode::grid;

void demand(bool fact, std::string_view what, std::string_view text)
{
    if (fact) return;
    std::cerr << what << ": " << text << "\n";
    std::abort();
}

template <class T>
void check(std::string_view text)
{
    const auto first = from_json<T>(text);
    if (!first) {
        demand(!first.error().message.empty(), "refused without a reason", text);
        return;
    }
    const auto written = to_json(*first);
    const auto second = from_json<T>(written);
    demand(second.has_value(), "what we write is not read", written);
    demand(to_json(*second) == written, "what we write changes when it is read", written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size)
{
    if (size == 0) return 0;
    const std::string_view text{reinterpret_cast<const char*>(data) + 1, size - 1};
    switch (data[0] % 10) {
        case 0:
            check<Workload>(text);
            break;
        case 1:
            check<legacy::Reservation>(text);
            break;
        case 2:
            check<legacy::ReservationWorkload>(text);
            break;
        case 3:
            check<WorkloadResult>(text);
            break;
        case 4:
            check<Node>(text);
            break;
        case 5:
            check<Farm>(text);
            break;
        case 6:
            check<PoolReservation>(text);
            break;
        case 7:
            check<User>(text);
            break;
        case 8:
            check<CapacityReport>(text);
            break;
        default:
            check<Gateway>(text);
            break;
    }
    return 0;
}
