import JSONText
import Testing
import VFIOUser

@Suite("Capabilities")
struct CapabilitiesTests {
    private func read(_ text: String) throws -> Capabilities {
        try Capabilities(text: Array(text.utf8) + [0])
    }

    @Test("of a side that says nothing are the protocol's defaults")
    func defaults() throws {
        #expect(try Capabilities(text: []) == Capabilities())
        #expect(try read("{}") == Capabilities())
        #expect(try read(#"{"capabilities":{}}"#) == Capabilities())
        #expect(Capabilities().descriptorsPerMessage == 1)
        #expect(Capabilities().transferByteCount == 1 << 20)
    }

    @Test("of QEMU 11.1 are understood")
    func qemu() throws {
        let found = try read(
            #"{"capabilities": {"pgsizes": 4096, "max_msg_fds": 16, "max_dma_maps": 65535, "max_data_xfer_size": 1048576, "migration": {"max_bitmap_size": 268435456, "pgsize": 4096}, "write_multiple": true}}"#
        )
        #expect(found.descriptorsPerMessage == 16)
        #expect(found.writesMultiple)
        #expect(found.migration?["pgsize"] == .integer(4096))
        #expect(found.others.isEmpty)
    }

    @Test("keep what isn't known")
    func unknown() throws {
        let found = try read(#"{"capabilities":{"frobs":[1,2],"twin_socket":{"supported":true}},"x":1}"#)
        #expect(found.others == [.init("frobs", .array([.integer(1), .integer(2)]))])
        #expect(found.supportsTwinSocket)
        #expect(try Capabilities(text: found.text) == found)
    }

    @Test(
        "that make no sense are refused",
        arguments: [
            "[]", "1", #"{"capabilities":1}"#, #"{"capabilities":{"max_msg_fds":"1"}}"#,
            #"{"capabilities":{"max_msg_fds":-1}}"#, #"{"capabilities":{"max_msg_fds":1025}}"#,
            #"{"capabilities":{"max_data_xfer_size":0}}"#, #"{"capabilities":{"max_data_xfer_size":-5}}"#,
            #"{"capabilities":{"max_data_xfer_size":1.5}}"#, #"{"capabilities":{"write_multiple":1}}"#,
            #"{"capabilities":{"migration":1}}"#, #"{"capabilities":{"twin_socket":true}}"#, "", "{\u{0}}",
        ])
    func bad(_ text: String) {
        #expect(throws: Capabilities.Problem.self) { _ = try read(text) }
    }

    @Test("must end with a NUL")
    func terminated() {
        #expect(throws: Capabilities.Problem.notTerminated) { _ = try Capabilities(text: Array("{}".utf8)) }
    }

    @Test("of a server fit into the 214 bytes that QEMU has room for")
    func size() {
        var own = Capabilities()
        own.descriptorsPerMessage = 16
        own.transferByteCount = 64 << 20
        own.writesMultiple = true
        #expect(own.text.count + 20 <= 214)
    }
}
