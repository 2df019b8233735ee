import DeviceModel
import LinuxSystem
import MachineFormat
import NVMeController
import SoftwareDevices
import SoftwareHost
import VFIOABI
import VFIOConformance
import VFIOHost

/// The software machine that `vfio conform` uses where none is described: the twin of the kernel lab's machine,
/// with a device for every case.
enum ConformMachine {
    /// The machine for a way in.
    static func make(for route: Route) throws(CommandFailure) -> MachineDescription {
        var machine = try makeUnmediated(for: route)
        machine.mediatedParents = MediatedParents.make()
        return machine
    }

    private static func makeUnmediated(for route: Route) throws(CommandFailure) -> MachineDescription {
        let disk: NVMeController
        do throws(BlockStoreError) {
            disk = NVMeController([try NVMeNamespace(try MemoryStore(byteCount: 32 << 20))])
        } catch {
            throw .refused("\(error)")
        }
        if route == .spapr {
            return MachineDescription {
                IOMMU(.spapr(SPAPRIOMMU()))
                IOMMUGroup(3) { PCIDevice(disk, at: "0000:00:03.0") }
                IOMMUGroup(4) { PCIDevice(Educational(), at: "0000:00:04.0") }
                IOMMUGroup(90, isEmulated: true) { PCIDevice(Educational(), at: "00fe:00:00.0") }
            }
        }
        let (sampler, display, graphics) = try samplers()
        guard route == .noIOMMU else {
            var machine = MachineDescription {
                IOMMUGroup(3) { PCIDevice(disk, at: "0000:00:03.0") }
                IOMMUGroup(4) { PCIDevice(Educational(), at: "0000:00:04.0") }
                // Below a bridge: two devices that can't be told apart, one of them without a driver.
                IOMMUGroup(5) {
                    PCIDevice(Educational(), at: "0000:02:01.0")
                    PCIDevice(Educational(), at: "0000:02:02.0", driver: nil)
                    PCIDevice(bridgeAt: "0000:00:1c.0")
                }
                // One that can have virtual functions.
                IOMMUGroup(6) { PCIDevice(Educational(virtualFunctions: 4), at: "0000:03:00.0") }
                // Regions of every kind.
                IOMMUGroup(7) { PCIDevice(sampler, at: "0000:00:05.0").within(completing) }
                IOMMUGroup(8) { PCIDevice(display, at: "0000:00:06.0") }
                // Behind an IOMMU that can more, as those are that Linux makes up for its self-tests.
                IOMMUGroup(14, tracksDirtyPages: true, nestsPageTables: true) {
                    PCIDevice(Educational(), at: "0000:09:00.0")
                }
                // Those that can be moved, in each of the ways that there are.
                IOMMUGroup(9) { movable([.peerToPeer, .preCopy], at: "0000:04:00.0") }
                IOMMUGroup(10) { movable([], at: "0000:05:00.0") }
                IOMMUGroup(11) { movable(.peerToPeer, at: "0000:06:00.0") }
                IOMMUGroup(12) { movable(.preCopy, at: "0000:07:00.0") }
                IOMMUGroup(13) {
                    movable([.peerToPeer, .preCopy], at: "0000:08:00.0", driver: "historic-vfio-pci")
                }
                // Regions and capabilities that few have.
                IOMMUGroup(15) { PCIDevice(graphics, at: "0000:00:1d.0") }
                IOMMUGroup(16) { PCIDevice(Educational(), at: "0000:00:1e.0").within(mainframe) }
                // In the place of a mediated device, which has no address on any bus.
                IOMMUGroup(90, isEmulated: true) { PCIDevice(Educational(), at: "00fe:00:00.0") }
            }
            machine.groups += try otherBuses()
            return machine
        }
        var machine = MachineDescription()
        machine.iommu = IOMMU(.none)
        machine.parameters.enableUnsafeNoIOMMUMode = true
        machine.ungroupedDevices = [
            PCIDevice(disk, at: "0000:00:03.0"), PCIDevice(Educational(), at: "0000:00:04.0"),
            PCIDevice(Educational(virtualFunctions: 4), at: "0000:03:00.0"),
            PCIDevice(sampler, at: "0000:00:05.0").within(completing),
            PCIDevice(display, at: "0000:00:06.0"), PCIDevice(graphics, at: "0000:00:1d.0"),
            PCIDevice(Educational(), at: "0000:00:1e.0").within(mainframe),
        ]
        return machine
    }

    private static func movable(
        _ moves: MigrationCapabilities, at address: String, driver: String = "software-vfio-pci"
    ) -> PCIDevice {
        PCIDevice(Educational.express(moves: moves), at: address, driver: driver)
    }

    /// A root port that completes atomic operations of 32 and 64 bits.
    private static let completing = PCISurroundings(atomicCompletions: [.completes32, .completes64])

    /// A function of an IBM Z, as its firmware would tell of it.
    private static let mainframe = PCISurroundings(
        zpci: ZPCIFunction(
            base: ZPCIBaseCapability(
                startDMA: 1 << 32, endDMA: (1 << 42) - 1, pchid: 0x11c, virtualFunction: 1, fmbLength: 128,
                functionType: 5, groupID: 4, functionHandle: 0x8001_0000),
            group: ZPCIGroupCapability(
                dasm: 1, msiAddress: 0xffff_f000, flags: .refresh, measurementInterval: 4000,
                interruptCount: 64, maxStoreBlock: 128, version: 2, maxInterpretedStoreBlock: 128),
            utilityString: [UInt8](repeating: 0x40, count: 64), functionPath: [1, 0, 0, 0]))

    private static func samplers() throws(CommandFailure) -> (
        RegionSampler, RegionSampler, IntegratedGraphics
    ) {
        do throws(Errno) {
            return (try RegionSampler(), try RegionSampler(isVGA: true), try IntegratedGraphics())
        } catch {
            throw .refused("a device can't be made: \(error)")
        }
    }
}
