import Glibc
import LabScenarios
import LinuxSystem
import VFIO
import VFIOHost

/// Runs the scenarios of an `edu` device on the real kernel, in a guest of the kernel lab.
///
/// Prints a line for each, `ok NAME`, `FAILED NAME: reason` or `skipped NAME: reason`, and ends with 0 if none
/// failed, with 1 if one did, with 2 when it is called wrongly.
@main
struct KernelLabProbe {
    static let usage =
        "Usage: KernelLabProbe BDF|UUID [--disk BDF] [--route group|cdev|auto] [--no-peer-to-peer] "
        + "[--memlock | --guest-memlock | --shared-bus | --moving]"

    static func main() async {
        guard let options = Options(CommandLine.arguments.dropFirst()) else {
            print(usage)
            exit(2)
        }
        var run = Run(
            lab: Lab(
                host: LinuxHost(), id: options.id, disk: options.disk, choice: options.choice,
                hasPeerToPeer: options.hasPeerToPeer))
        switch options.task {
        case .memlock:
            await run.run(.lockedMemoryLimit(65536, restrict: { try limitLockedMemory(65536) }))
        case .guestMemlock:
            await run.run(.guestLockedMemoryLimit(65536, restrict: { try limitLockedMemory(65536) }))
        case .sharedBus:
            for scenario in run.sharedBus { await run.run(scenario) }
        case .moving:
            for scenario in Scenario.moving { await run.run(scenario) }
        case .all:
            for scenario in Scenario.educational + Scenario.onRealKernels { await run.run(scenario) }
            await run.checkDescriptors()
        }
        StandardStream.flush()
        exit(run.failures == 0 ? 0 : 1)
    }

    struct Options {
        var id = DeviceID(PCIAddress(bus: 0, device: 0, function: 0))
        var disk: PCIAddress?
        var choice = RouteChoice.automatic
        var hasPeerToPeer = true
        var task = Task.all

        enum Task { case all, memlock, guestMemlock, sharedBus, moving }

        init?(_ arguments: some Sequence<String>) {
            var id: DeviceID?
            var rest = arguments.makeIterator()
            while let argument = rest.next() {
                switch argument {
                case "--route":
                    switch rest.next() {
                    case "group": choice = .group
                    case "cdev": choice = .cdev
                    case "auto": choice = .automatic
                    default: return nil
                    }
                case "--disk":
                    guard let read = rest.next().flatMap({ PCIAddress($0) }) else { return nil }
                    disk = read
                case "--no-peer-to-peer": hasPeerToPeer = false
                case "--memlock": task = .memlock
                case "--guest-memlock": task = .guestMemlock
                case "--shared-bus": task = .sharedBus
                case "--moving": task = .moving
                default:
                    guard id == nil, let read = DeviceID(argument) else { return nil }
                    id = read
                }
            }
            guard let id else { return nil }
            self.id = id
        }
    }

    /// Sets the limit, and becomes a user without the right to go beyond it. There is no way back.
    @Sendable static func limitLockedMemory(_ byteCount: UInt64) throws {
        try ProcessLimits.setLockedMemory(byteCount)
        if ProcessLimits.isSuperUser, setuid(65534) != 0 {
            throw Errno(rawValue: Glibc.errno)
        }
    }
}

/// A run of scenarios.
struct Run {
    let lab: Lab
    var failures = 0

    /// What can be done on the device's bus, as it is.
    var sharedBus: [Scenario] {
        let functions = (try? lab.host.inventory().devices) ?? []
        let isDriven = functions.allSatisfy {
            $0.address.segment != lab.address.segment || $0.address.bus != lab.address.bus
                || $0.driver?.isVFIO == true
        }
        return isDriven ? Scenario.sharedBus : Scenario.blockedBus
    }

    mutating func run(_ scenario: Scenario) async {
        let name = "\(lab.id.address == nil ? lab.id.bus.name : "edu") by \(lab.choice): \(scenario.name)"
        do {
            try await scenario.run(lab)
            print("ok \(name)")
        } catch let reason as Skipped {
            print("skipped \(name): \(reason)")
        } catch {
            failures += 1
            print("FAILED \(name): \(error)")
        }
        // Should a later one hang or crash, this line is there.
        StandardStream.flush()
    }

    /// Runs some scenarios again: no descriptor may be open afterwards that wasn't before.
    mutating func checkDescriptors() async {
        let name = "edu by \(lab.choice): all descriptors are closed again"
        do {
            let before = try FileSystem.names(in: "/proc/self/fd").count
            for scenario in Scenario.quick { try? await scenario.run(lab) }
            let after = try FileSystem.names(in: "/proc/self/fd").count
            if after == before {
                print("ok \(name)")
            } else {
                failures += 1
                print("FAILED \(name): \(after) are open, and \(before) were before")
            }
        } catch {
            failures += 1
            print("FAILED \(name): \(error)")
        }
    }
}
