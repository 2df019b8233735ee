import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import SoftwareDevices
import Testing
import VFIOABI
import VFIOHost

@testable import SoftwareHost

@Suite("A device in software is driven from the node of its group, or its own, down to its DMA")
final class CoreEndToEndTests {
    let memory: Mapping
    let edu = Educational()
    let host: SoftwareHost
    let page = UInt64(pageSize)

    init() throws {
        memory = try Mapping(anonymous: 2 * pageSize)
        let edu = edu
        host = try SoftwareHost {
            IOMMU(.type1, pageSizes: [.kib4, .mib2])
            IOMMUGroup(26) { PCIDevice(edu, at: "0000:01:00.0") }
        }
    }

    func ask<T>(_ handle: Int32, _ request: Request, _ value: T) throws -> Int32 {
        var value = value
        return try withUnsafeMutablePointer(to: &value) {
            try host.control(
                handle, UInt32(truncatingIfNeeded: request.rawValue), UInt(bitPattern: $0))
        }
    }
    func store<T: FixedWidthInteger>(_ device: Int32, _ offset: UInt64, _ value: T) throws {
        let bytes = withUnsafeBytes(of: value) { [UInt8]($0) }
        #expect(try host.write(device, at: offset, bytes.span.bytes) == bytes.count)
    }
    func load32(_ device: Int32, _ offset: UInt64) throws -> UInt32 {
        var bytes = [UInt8](repeating: 0, count: 4)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        #expect(try host.read(device, at: offset, into: &raw) == 4)
        return bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Moves 16 bytes from one address to another through the device's buffer, and says what arrived.
    func exercise(_ device: Int32, from source: UInt64, to destination: UInt64) throws -> UInt8 {
        let configuration = UInt64(7) << 40
        try store(device, configuration + 4, UInt16(0x6))  // memory and bus master
        #expect(try load32(device, 0) == UInt32(Educational.identification))
        for (from, to, command) in [
            (source, Educational.bufferAddress, UInt64(1)), (Educational.bufferAddress, destination, 3),
        ] {
            try store(device, Educational.Register.source, from)
            try store(device, Educational.Register.destination, to)
            try store(device, Educational.Register.count, UInt64(16))
            try store(device, Educational.Register.command, command)
        }
        return memory.window.load8(pageSize + 15)
    }

    @Test("through group and container: data moves where it is mapped, and nowhere else")
    func throughGroup() throws {
        let container = try host.open(.container)
        let group = try host.open(.group(26))
        #expect(try ask(group, .groupSetContainer, container) == 0)
        #expect(try host.control(container, UInt32(Request.setIOMMU.rawValue), 3) == 0)
        let device = try "0000:01:00.0".withCString {
            try host.control(group, UInt32(Request.groupGetDeviceFD.rawValue), UInt(bitPattern: $0))
        }
        let vaddr = UInt64(memory.window.address.rawValue)
        #expect(
            try ask(
                container, .iommuMapDMA,
                DMAMap(flags: .read, vaddr: vaddr, iova: 0x10000, size: page)) == 0)
        #expect(
            try ask(
                container, .iommuMapDMA,
                DMAMap(flags: .write, vaddr: vaddr + page, iova: 0x20000, size: page)) == 0)
        memory.window.store8(15, 42)
        #expect(try exercise(device, from: 0x10000, to: 0x20000) == 42)
        #expect(host.dmaFaults.count == 0)
        // Backwards is against the permissions, both ways; nothing moves.
        memory.window.store8(15, 43)
        #expect(try exercise(device, from: 0x20000, to: 0x10000) == 42)
        #expect(memory.window.load8(15) == 43)
        #expect(host.dmaFaults.count == 2)
        #expect(host.dmaFaults.last?.access == .write)
        #expect(host.dmaFaults.last?.iova == IOVA(0x10000))
        #expect(edu.refusedTransferCount == 2)
        for handle in [container, group] { host.close(handle) }
        #expect(try exercise(device, from: 0x10000, to: 0x20000) == 43, "the device keeps it all alive")
        host.close(device)
        #expect(host.lockedByteCount == 0)
        #expect(try host.open(.group(26)) >= 0)
    }

    @Test("through the device's node and an iommufd: the same")
    func throughNode() throws {
        let node = try #require(try host.inventory().devices.first?.deviceNode)
        let iommufd = try host.open(.iommu)
        let device = try host.open(.device(node))
        #expect(try ask(device, .deviceBindIOMMUFD, DeviceBindIOMMUFD(iommufd: iommufd)) == 0)
        #expect(try ask(iommufd, .ioasAlloc, IOASAlloc()) == 0)
        let vaddr = UInt64(memory.window.address.rawValue)
        #expect(
            try ask(
                iommufd, .ioasMap,
                IOASMap(
                    flags: [.fixedIOVA, .readable, .writeable], ioasID: 2, userVA: vaddr, length: 2 * page,
                    iova: 0x10000)) == 0)
        memory.window.store8(15, 42)
        #expect(try exercise(device, from: 0x10000, to: 0x10000 + page) == 0, "bound but not attached")
        #expect(try ask(device, .deviceAttachIOMMUFD, DeviceAttachIOMMUFDPageTable(pageTableID: 2)) == 0)
        #expect(try exercise(device, from: 0x10000, to: 0x10000 + page) == 42)
        host.close(iommufd)
        host.close(device)
        #expect(host.lockedByteCount == 0)
    }
}
