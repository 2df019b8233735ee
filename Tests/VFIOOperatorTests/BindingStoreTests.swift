import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("What is remembered of drivers")
struct BindingStoreTests {
    private let records = [
        BindingRecord(
            DeviceID("0000:01:00.0")!, identity: "8086:10d3",
            original: DriverState(driver: "e1000e", override: nil),
            left: DriverState(driver: "vfio-pci", override: "vfio-pci"),
            pending: BindingRecord.Pending(.unbind, process: 4711, started: 12345)),
        BindingRecord(
            DeviceID("platform/a.b")!, identity: nil,
            original: DriverState(driver: nil, override: "a \"b\" \\"),
            left: DriverState(driver: nil, override: nil)),
    ]

    private func withFolder(_ body: (String) throws -> Void) throws {
        let root = try FileSystem.makeTemporaryFolder("/tmp/vfio-store-")
        defer { FileSystem.removeFolder(root) }
        try body(root)
    }

    @Test("what is saved is read back, and replaces what was there")
    func roundTrip() throws {
        try withFolder { root in
            let store = BindingStore(root + "/a/b/bindings.json")
            #expect(try store.load().isEmpty)
            try store.save(records)
            #expect(try store.load() == records)
            try store.save([])
            #expect(try store.load().isEmpty)
            #expect(try FileSystem.names(in: root + "/a/b") == ["bindings.json"])
        }
    }

    @Test("a file that isn't ours, or of a later version, is an error and stays")
    func foreign() throws {
        try withFolder { root in
            let store = BindingStore(root + "/bindings.json")
            for text in [
                "", "{}", "[1]", "{\"version\":2,\"devices\":[]}", "{\"version\":1,\"devices\":[{}]}",
                "{\"version\":1,\"devices\":7}",
                "{\"version\":1,\"devices\":[{\"device\":\"0000:01:00.0\",\"identity\":null,\"original\":"
                    + "{\"driver\":\"../../x\",\"override\":null},\"left\":{\"driver\":null,\"override\":null},"
                    + "\"pending\":null}]}",
            ] {
                try FileSystem.makeFile(store.path, Array(text.utf8))
                #expect(throws: BindingStore.Failure.self, "\(text)") { try store.load() }
                #expect(try FileSystem.bytes(of: store.path) == Array(text.utf8))
            }
        }
    }

    @Test("a file with random faults is read or refused")
    func randomFaults() throws {
        let seed = UInt64.random(in: 0 ... .max)
        var generator = SplitMix(state: seed)
        try withFolder { root in
            let store = BindingStore(root + "/bindings.json")
            try store.save(records)
            let good = try FileSystem.bytes(of: store.path)
            for _ in 0..<2000 {
                var bytes = good
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    let index = Int.random(in: 0..<bytes.count, using: &generator)
                    switch Int.random(in: 0..<3, using: &generator) {
                    case 0: bytes[index] = UInt8.random(in: 0 ... .max, using: &generator)
                    case 1: bytes.remove(at: index)
                    default:
                        bytes.insert(bytes[Int.random(in: 0..<bytes.count, using: &generator)], at: index)
                    }
                }
                try FileSystem.makeFile(store.path, bytes)
                if let read = try? store.load() {
                    // What is accepted can be saved, and says the same then.
                    try store.save(read)
                    #expect(try store.load() == read, "seed \(seed)")
                }
            }
        }
    }
}

/// Numbers that a seed decides.
private struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
