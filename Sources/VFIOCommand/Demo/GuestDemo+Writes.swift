import LinuxSystem
import VFIO
import VFIOGuest

extension GuestDemo {
    /// What a device writes while somebody wants to know.
    mutating func trackWrites(_ engine: DemoEngine) throws {
        let pages = [100, 101, 517, 4000, 16383]
        try guest.memory.startMigrationLog()
        defer { guest.memory.stopMigrationLog() }
        guard let source = engine.device.container?.dirtySource else {
            throw CommandFailure.refused("nobody notes what the device writes")
        }
        story.say(
            "Which pages were written",
            "asked of \(source), for \(Self.count(guest.ram.dirtyLog.pageCount, "page")) of RAM")
        // What was written before anybody asked.
        try guest.memory.synchronizeDirtyLog()
        guest.ram.dirtyLog.clear(for: .migration)

        for page in pages {
            try allowed("a write to page \(page)") { try engine.put(8, at: UInt64(page * pageSize)) }
        }
        let time = try measured { try guest.memory.synchronizeDirtyLog() }
        let found = marked()
        for page in pages {
            try require(found.contains(page), "the device wrote page \(page), and nobody noticed")
        }
        story.detail("the device wrote pages \(pages.map(String.init).joined(separator: ", "))")
        story.detail(
            found.count == pages.count
                ? "found in \(time): exactly those"
                : "found in \(time): those and \(Human.grouped(UInt64(found.count - pages.count))) more, since "
                    + "who was asked knows only what the device can write")
        try guest.memory.synchronizeDirtyLog()
        let later = marked()
        story.detail("asked again without a write between: \(Self.count(later.count, "page"))")
    }

    /// Takes the pages of RAM that are noted.
    private func marked() -> [Int] {
        var pages: [Int] = []
        guest.ram.dirtyLog.take(for: .migration) { pages += $0 }
        return pages
    }
}
