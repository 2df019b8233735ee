import Testing
import VFIOUser

@Suite("JSON")
struct JSONTests {
    private func read(_ text: String) throws -> JSON { try JSON(Array(text.utf8)) }

    @Test(
        "is read as RFC 8259 has it",
        arguments: [
            ("null", JSON.null), (" true\n", .bool(true)), ("false", .bool(false)), ("0", .integer(0)),
            ("-12", .integer(-12)), ("9223372036854775807", .integer(.max)),
            ("9223372036854775808", .number("9223372036854775808")), ("1.5", .number("1.5")),
            ("1e3", .number("1e3")), ("-0.5E-2", .number("-0.5E-2")), ("\"\"", .string("")),
            (#""a\"\\\/\b\f\n\r\t""#, .string("a\"\\/\u{8}\u{c}\n\r\t")),
            (#""\u0041\ud83d\ude00é""#, .string("A😀é")),
            ("[]", .array([])), ("[1, [2] ]", .array([.integer(1), .array([.integer(2)])])),
            ("{}", .object([])),
            (#"{"a" : 1,"b":{}}"#, .object([.init("a", .integer(1)), .init("b", .object([]))])),
        ])
    func good(_ text: String, _ value: JSON) throws {
        #expect(try read(text) == value)
        #expect(try read(value.text) == value)
    }

    @Test(
        "is refused where it isn't",
        arguments: [
            "", " ", "nul", "tru e", "01", "+1", "-", "1.", ".5", "1e", "1e+", "\"", "\"\n\"", #""\x""#,
            #""\u12""#,
            #""\ud800""#, #""\ud800\u0041""#, #""\udc00""#, "[", "[1", "[1,]", "[,1]", "{", "{\"a\"}",
            "{\"a\":}", "{\"a\":1,}",
            "{a:1}", "1 2", "{} {}", "\u{feff}1", "NaN", "'a'",
        ])
    func bad(_ text: String) {
        #expect(throws: JSONError.self) { _ = try read(text) }
    }

    @Test("is refused where it isn't UTF-8")
    func encoding() {
        for bytes: [UInt8] in [
            [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22],
        ] {
            #expect(throws: JSONError.self) { _ = try JSON(bytes) }
        }
    }

    @Test("has bounds: depth, number of values, names only once")
    func bounds() throws {
        let deep = String(repeating: "[", count: 9) + String(repeating: "]", count: 9)
        #expect(throws: JSONError.tooDeep) { _ = try read(deep) }
        #expect(throws: JSONError.tooDeep) { _ = try read(String(repeating: "[", count: 100_000)) }
        _ = try read(String(repeating: "[", count: 8) + String(repeating: "]", count: 8))
        #expect(throws: JSONError.tooLarge) {
            _ = try read("[" + String(repeating: "1,", count: 255) + "1]")
        }
        _ = try read("[" + String(repeating: "1,", count: 254) + "1]")
        #expect(throws: JSONError.duplicate("a")) { _ = try read(#"{"a":1,"\u0061":2}"#) }
    }
}

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
