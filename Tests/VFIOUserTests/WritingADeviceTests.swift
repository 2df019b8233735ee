import IOVASpace
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("The page about writing a device")
struct WritingADeviceTests {
    /// The text of a file of the package.
    private func text(_ path: String) throws -> String {
        // This file is in Tests/VFIOUserTests.
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3)
        let bytes = try FileSystem.bytes(of: root.joined(separator: "/") + "/" + path, limit: 1 << 20)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test("shows the whole device that is compiled here, which has fewer than fifty lines")
    func quoted() throws {
        let code = try text("Tests/VFIOUserTests/SummingDevice.swift")
        let page = try text("Documentation/WritingADevice.md")
        #expect(page.contains("```swift\n\(code)```\n"))
        #expect(code.split(separator: "\n", omittingEmptySubsequences: false).count <= 50)
    }

    @Test("has a device that adds up a client's memory and interrupts")
    func works() throws {
        let served = try Served(SummingDevice())
        let client = served.client
        try client.negotiate()
        try client.enable()
        let file = try MemoryFile.create("guest", byteCount: UInt64(pageSize))
        let memory = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
        for offset in 0..<100 { memory.window.store8(offset, UInt8(offset)) }
        #expect(try client.map(0x10_0000, UInt64(pageSize), file: file.number) == nil)
        let event = try EventDescriptor()
        let set = try client.setInterrupts(
            .msi, [.dataEventFD, .actionTrigger], count: 1, descriptors: [event.number])
        #expect(set == nil)

        try client.write64(.bar0, 0x00, 0x10_0000)
        try client.write32(.bar0, 0x08, 100)
        #expect(try event.wait(milliseconds: 5000) == 1)
        #expect(try client.read64(.bar0, 0x10) == 4950)

        // Where nothing is mapped it says so, and goes on.
        try client.write64(.bar0, 0x00, 0x20_0000)
        try client.write32(.bar0, 0x08, 100)
        #expect(try event.wait(milliseconds: 5000) == 1)
        #expect(try client.read64(.bar0, 0x10) == .max)
    }
}
