import IOVASpace
import LinuxSystem
import Testing

@Suite("The pages about the machine below and the map")
struct MachinePages {
    @Test("memory is shared with another process and read as it changes")
    func windows() throws {
        let file = try MemoryFile.create("ring", byteCount: UInt64(pageSize))
        let mapping = try Mapping(sharing: file.number, at: 0, byteCount: pageSize)
        let ring = mapping.window
        // The entry is there before whoever watches is told so.
        ring.store64(8, 0x1234)
        Fence.beforeDoorbell()
        ring.store32(0, 1)
        #expect(ring.load64(8) == 0x1234 && ring.load32(0) == 1)
        withExtendedLifetime(mapping) {}
    }

    @Test("one thread waits for several descriptors")
    func waiting() throws {
        let event = try EventDescriptor()
        let poller = try Poller()
        try poller.add(event.number, .readable, tag: 7)
        event.signal()
        var events: [Poller.Event] = []
        let count = try poller.wait(into: &events, milliseconds: 1000)
        for event in events { print("descriptor with tag \(event.tag) is ready") }
        #expect(count == 1 && events[0].tag == 7)
        withExtendedLifetime(event) {}
    }

    @Test("a map translates what a device asks for")
    func map() throws {
        let start = IOVA(0x10_0000)
        guard let range = IOVARange(start, byteCount: 0x20_0000) else { return }
        var map = IOVAMap()
        try map.map(range, to: 0x7f00_0000_0000, permissions: .read)

        var cache = IOVATranslationCache()
        let piece = try map.translate(
            IOVA(0x10_0ff0), byteCount: 64, for: .read, cache: &cache)
        print(piece.backing, piece.byteCount)  // 0x7f0000000ff0, 64

        do throws(IOVAFault) {
            _ = try map.translate(start, byteCount: 4, for: .write)
        } catch {
            print(error)  // it is mapped, but only for reading
        }
        #expect(piece == IOVAPiece(backing: 0x7f00_0000_0ff0, byteCount: 64))
        var fault: IOVAFault?
        do throws(IOVAFault) {
            _ = try map.translate(IOVA(0x10_0000), byteCount: 4, for: .write)
        } catch {
            fault = error
        }
        #expect(fault == .denied(IOVA(0x10_0000), .read))
    }
}
