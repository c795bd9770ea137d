#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "container/containers.hpp"
#include "container/monitor_page.hpp"

namespace znode::container {

/// Where things of one container lie. Everything of it is found again by these names alone.
struct Places {
    std::filesystem::path bundle;  ///< 0700: config, FIFOs, page; on tmpfs.
    std::filesystem::path root;    ///< Mount point of the overlay.
    std::filesystem::path pins;    ///< Folder of the namespaces' pins.
    std::filesystem::path logs;

    Places(const ContainersConfig& config, const std::string& gwid)
        : bundle{config.run_dir / "c" / gwid},
          root{config.run_dir / "root" / gwid},
          pins{config.run_dir / "ns" / gwid},
          logs{config.log_dir / gwid}
    {
    }
    Namespaces namespaces() const { return {pins / "user", pins / "net"}; }
};

/// What the monitor's page says, copied.
struct PageFacts {
    std::uint32_t version = 0;
    MonitorPhase phase = MonitorPhase::starting;
    pid_t monitor_pid = 0;
    std::uint64_t monitor_start = 0;
    pid_t pid = 0;
    std::uint64_t pid_start = 0;
    std::int64_t started_ns = 0;
    std::int64_t ended_ns = 0;
    ExitKind exit = ExitKind::unknown;
    int exit_number = 0;

    /// PID 1 lives, zombies not counted.
    bool container_lives() const;
    bool monitor_lives() const;
};

/// Errc::not_found when there is none, or only one of an earlier boot.
[[nodiscard]] Result<PageFacts> read_page(const std::filesystem::path& bundle);

/// Takes the end out of the status file that the container's init wrote, for a page whose monitor
/// could not. Leaves `facts` as they are when it does not say.
void read_status(const std::filesystem::path& bundle, PageFacts& facts);

/// Whether this very process exists and is no zombie.
bool process_lives(pid_t pid, std::uint64_t start_time);

/// The last lines of the newest run in the segments, printable.
std::vector<std::string> last_lines(const std::filesystem::path& logs, std::size_t count);

/// Makes the folders of a start: bundle, mount point, and upper and work in the writable layer.
[[nodiscard]] Result<> make_places(const Places& places, const ContainerSpec& spec);

/// Options of the overlay mount. Errc::invalid for a path that they cannot express.
[[nodiscard]] Result<std::string> overlay_options(const RootLayers& layers);

}  // namespace znode::container
