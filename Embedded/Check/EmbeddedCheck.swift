import CLinux
import DeviceModel
import IOVASpace
import LinuxSystem
import NVMe
import NVMeController
import SoftwareDevices
import SoftwareHost
import VFIOHost

/// Links every Embedded target into one program and uses them: a machine in software with an NVMe disk, driven
/// through raw uAPI requests as a foreign program would.
@main
struct EmbeddedCheck {
    static func main() {
        do throws(CheckFailure) {
            try run()
            print(
                "ok embedded: an NVMe disk on a software machine, through container, group and device: "
                    + "identified, written, read back; one DMA refused, one interrupt taken, all closed")
        } catch {
            print("FAILED embedded: \(error.what)\(error.detail)")
            exit(1)
        }
    }

    static func run() throws(CheckFailure) {
        let host = try makeHost()
        try driveDisk(on: host)
        // The last handle is closed: nothing is locked, nobody is in the way of the next user.
        try require(host.lockedByteCount == 0, "memory is still locked")
        try driveDisk(on: host)
        try require(host.dmaFaults.count == 2, "the number of refused accesses differs")
    }

    /// A machine with a disk in group 26 and an edu device in group 27.
    static func makeHost() throws(CheckFailure) -> SoftwareHost {
        let namespace: NVMeNamespace
        do throws(BlockStoreError) {
            namespace = try NVMeNamespace(try MemoryStore(byteCount: 1 << 20))
        } catch {
            throw CheckFailure("the disk's memory can't be had")
        }
        do throws(MachineError) {
            return try SoftwareHost {
                IOMMU(.type1)
                IOMMUGroup(26) { PCIDevice(NVMeController([namespace]), at: "0000:01:00.0") }
                IOMMUGroup(27) { PCIDevice(Educational(), at: "0000:02:00.0") }
            }
        } catch {
            throw CheckFailure("the machine is refused")
        }
    }

    static func driveDisk(on host: SoftwareHost) throws(CheckFailure) {
        let machine = try OpenDisk(on: host)
        let disk = try NVMeDisk(machine)

        // A DMA that the IOMMU allows.
        try disk.run(admin: .identify(.controller), data: .data, expecting: .success)
        let name = disk.memory(.data).window(at: 4, byteCount: 10)
        for (index, byte) in "SWIFTVFIO0".utf8.enumerated() {
            try require(name.load8(index) == byte, "the serial number differs")
        }
        try disk.expectInterrupt()

        // One that it doesn't: the page behind what is mapped.
        try disk.run(admin: .identify(.controller), data: .unmapped, expecting: .dataTransferError)
        try require(host.dmaFaults(ofGroup: 26)?.count == 1, "the refused access isn't counted")
        try require(
            host.dmaFaults.last?.iova == disk.address(.unmapped), "the refused access has another address")

        // Blocks out and back.
        try disk.createQueues()
        let source = disk.memory(.data)
        let target = disk.memory(.otherData)
        for index in 0..<pageSize { source.store8(index, UInt8(truncatingIfNeeded: index &* 13 &+ 5)) }
        target.zero(at: 0, byteCount: pageSize)
        try disk.run(
            io: .write(namespaceID: 1, startingBlock: 40, blocks: pageSize / 512), data: .data,
            expecting: .success)
        try disk.run(
            io: .read(namespaceID: 1, startingBlock: 40, blocks: pageSize / 512), data: .otherData,
            expecting: .success)
        for index in 0..<pageSize {
            try require(target.load8(index) == source.load8(index), "what was read isn't what was written")
        }
        try disk.machine.close()
    }
}

/// What isn't as it should be.
struct CheckFailure: Error {
    let what: StaticString
    let errno: Errno?

    init(_ what: StaticString, _ errno: Errno? = nil) {
        self.what = what
        self.errno = errno
    }

    var detail: String { errno.map { ": errno \($0.rawValue)" } ?? "" }
}

func require(_ condition: Bool, _ what: StaticString) throws(CheckFailure) {
    if !condition { throw CheckFailure(what) }
}

/// Runs a call on the host and says which one failed.
func attempt<R: ~Copyable>(
    _ what: StaticString, _ body: () throws(Errno) -> R
) throws(CheckFailure) -> R {
    do throws(Errno) { return try body() } catch { throw CheckFailure(what, error) }
}
