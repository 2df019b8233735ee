import Testing

@testable import LinuxSystem

@Suite("Memory that may be wrong, and memory that others change")
struct MemoryTests {
    @Test("Reading and writing through a bad address is EFAULT, not a trap")
    func badAddress() throws {
        #expect(throws: Errno.badAddress) { try UserMemory.load(UInt32(0), from: .null) }
        #expect(throws: Errno.badAddress) { try UserMemory.store(UInt32(0), to: HostAddress(rawValue: 16)) }
        #expect(throws: Errno.badAddress) {
            try UserMemory.populate(HostAddress(rawValue: 0x1000), byteCount: pageSize, writable: false)
        }
    }

    @Test("A structure that reaches over the end of its page is EFAULT")
    func halfWay() throws {
        let file = try MemoryFile.create("half", byteCount: UInt64(pageSize))
        let half = try Mapping(sharing: file.number, at: 0, byteCount: 2 * pageSize)
        #expect(throws: Errno.badAddress) {
            try UserMemory.load(UInt64(0), from: half.window.address + (pageSize - 4))
        }
    }

    @Test("Populating checks every page for the access that is wanted")
    func populate() throws {
        let mapping = try Mapping(anonymous: 4 * pageSize)
        try UserMemory.populate(mapping.window.address, byteCount: 4 * pageSize, writable: true)
        try mapping.protect(.read)
        try UserMemory.populate(mapping.window.address, byteCount: 4 * pageSize, writable: false)
        #expect(throws: Errno.badAddress) {
            try UserMemory.populate(mapping.window.address, byteCount: 4 * pageSize, writable: true)
        }
    }

    @Test("A window loads what was stored, at every width and in halves")
    func widths() throws {
        let mapping = try Mapping(anonymous: pageSize)
        let window = mapping.window
        window.store64(8, 0x0123_4567_89ab_cdef)
        #expect(window.load8(8) == 0xef)
        #expect(window.load16(10) == 0x89ab)
        #expect(window.load32(12) == 0x0123_4567)
        #expect(window.load64LowHigh(8) == 0x0123_4567_89ab_cdef)
        window.store64LowHigh(16, 0x1122_3344_5566_7788)
        #expect(window.load64(16) == 0x1122_3344_5566_7788)
    }

    @Test("An access outside a window stops the program instead of touching other memory")
    func bounds() async {
        await #expect(processExitsWith: .failure) {
            let mapping = try Mapping(anonymous: pageSize)
            mapping.window.store32(pageSize - 2, 1)
        }
        await #expect(processExitsWith: .failure) {
            let mapping = try Mapping(anonymous: pageSize)
            _ = mapping.window.load8(-1)
        }
    }

    @Test("A memory file shows the same bytes to everybody who maps it")
    func sharing() throws {
        let file = try MemoryFile.create("shared", byteCount: UInt64(pageSize))
        try MemoryFile.sealSize(file)
        let one = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
        let two = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
        one.window.store32(0, 0xfeed_f00d)
        #expect(two.window.load32(0) == 0xfeed_f00d)
        #expect(throws: Errno.notPermitted) { try file.resize(to: 0) }
    }

    @Test("A length of zero or less, or one that overflows, is refused")
    func lengths() {
        #expect(throws: Errno.invalid) { _ = try Mapping(anonymous: 0) }
        #expect(throws: Errno.invalid) { _ = try Mapping(anonymous: -1) }
        #expect(throws: Errno.invalid) { _ = try Mapping(anonymous: Int.max) }
    }
}
