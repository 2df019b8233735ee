import LinuxSystem
import VFIOABI
import VFIOHost

/// F.3: MAP_FILE.
let fileMapCases: [Case] = [
    Case("F.3", "MAP_FILE: the order of checks", on: .cdev) { t in
        let bench = try t.space()
        let page = bench.page
        for (request, errno, label) in [
            (
                IOASMapFile(flags: .init(rawValue: 0xe), length: .max), .notSupported, "unknown flags first"
            ),
            (IOASMapFile(length: .max), .overflow, "a length that can't be before what is allowed"),
            (IOASMapFile(length: page, iova: .max), .overflow, "an address that can't be"),
            (IOASMapFile(ioasID: 99, length: page), .invalid, "neither reading nor writing before the id"),
            (IOASMapFile(flags: .readable, ioasID: 99), .noSuchEntry, "the id before the length"),
            (IOASMapFile(flags: .readable, ioasID: bench.ioas), .invalid, "no length before the file"),
            (
                IOASMapFile(flags: .readable, ioasID: bench.ioas, start: .max, length: page), .overflow,
                "an end that can't be before the file"
            ),
            (
                IOASMapFile(flags: .readable, ioasID: bench.ioas, length: page), .badDescriptor, "the file"
            ),
        ] as [(IOASMapFile, Errno, String)] {
            t.expect(bench.iommufd.request(.ioasMapFile, request), .errno(errno), label)
        }
    },
    Case("F.3", "MAP_FILE: devices reach the file's memory", on: .cdev) { t in
        let (setup, bench) = try t.attachedSpace()
        let file = try FileView(pages: 4)
        t.expect(bench.map(file, 0x10000, at: bench.page, pages: 2), .success, "MAP_FILE")
        // Two mappings of one file: what the device writes through one is seen in the other.
        let probe = try t.memory(pages: 1)
        t.expect(
            bench.map(
                IOASMap(
                    flags: [.fixedIOVA, .readable, .writeable], ioasID: bench.ioas, userVA: probe.vaddr,
                    length: bench.page, iova: 0x20000)), .success, "MAP")
        file.window.store32(pageSize, 0x1234_5678)
        try setup.eduCopy(from: 0x10000, to: 0x20000, by: t)
        t.expect(probe.window.load32(0), equals: 0x1234_5678, "from the file")
        probe.window.store32(0, 0x8765_4321)
        try setup.eduCopy(from: 0x20000, to: 0x11000, by: t)
        t.expect(file.window.load32(2 * pageSize), equals: 0x8765_4321, "to the file")
        t.expect(bench.unmapped(0x10000, bytes: 2 * bench.page), equals: "8192 bytes", "UNMAP")
    },
    Case("F.3", "MAP_FILE: places, and what is in the way", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        let file = try FileView(pages: 4)
        t.expect(bench.map(file, 0x10000, at: 0), .success, "MAP_FILE")
        t.expect(bench.map(file, 0x10000, at: 0), .errno(.exists), "again")
        t.expect(bench.map(file, 0x20001, at: 0), .errno(.invalid), "an address that isn't whole pages")
        t.expect(bench.map(file, 0x20000, at: 1), .errno(.invalid), "a place that isn't")
        t.expect(bench.map(file, 0xfee0_0000, at: 0), .errno(.invalid), "where interrupts go")
        t.expect(bench.map(file, 0x20000, at: 3 * bench.page, pages: 2), .errno(.invalid), "beyond the end")
        t.expect(bench.map(file, 0x20000, at: 4 * bench.page), .errno(.invalid), "behind the end")
        var request = IOASMapFile(
            flags: [.readable, .writeable], ioasID: bench.ioas, fd: file.number, length: bench.page)
        t.expect(bench.iommufd.request(.ioasMapFile, &request), .success, "anywhere")
        t.expect(request.iova != 0 && request.iova % bench.page == 0, "a page's address")
        t.expect(
            bench.unmapped(request.iova, bytes: bench.page), equals: "4096 bytes", "UNMAP of what was chosen")
    },
    Case("F.3", "MAP_FILE: files that aren't memory", on: .cdev) { t in
        let (_, bench) = try t.attachedSpace()
        let status = try Descriptor(opening: "/proc/self/status")
        t.expect(
            bench.map(number: status.number, 0x20000, at: 0, .readable), .errno(.invalid), "one of proc's")
        let directory = try Descriptor(opening: "/")
        t.expect(
            bench.map(number: directory.number, 0x20000, at: 0, .readable), .errno(.invalid), "a directory")
        let event = try t.eventfd()
        t.expect(
            bench.map(number: event.number, 0x20000, at: 0, .readable), .errno(.invalid), "an eventfd")
        t.expect(
            bench.map(number: bench.iommufd.number, 0x20000, at: 0, .readable), .errno(.invalid),
            "an iommufd")
        t.expect(bench.map(0x20000), .success, "nothing stays in the way")
    },
    Case("F.3", "MAP_FILE: the file is looked at when a device comes", on: .cdev) { t in
        let bench = try t.space()
        let (device, _) = try t.bound(t.edu, to: bench.iommufd)
        let event = try t.eventfd()
        let file = try FileView(pages: 1)
        t.expect(bench.map(number: event.number, 0x10000, at: 0, .readable), .success, "an eventfd")
        t.expect(device.attach(to: bench.ioas).answer, .errno(.invalid), "ATTACH")
        t.expect(bench.unmapped(0x10000, bytes: bench.page), equals: "4096 bytes", "UNMAP")
        t.expect(bench.map(file, 0x10000, at: 0, pages: 2), .success, "beyond the end")
        t.expect(device.attach(to: bench.ioas).answer, .errno(.invalid), "ATTACH")
        t.expect(bench.unmapped(0x10000, bytes: 2 * bench.page), equals: "8192 bytes", "UNMAP")
        t.expect(bench.map(file, 0x10000, at: 0), .success, "what there is")
        t.expect(device.attach(to: bench.ioas).answer, .success, "ATTACH")
    },
    Case("F.3", "CHANGE_PROCESS with memory of files", on: .cdev) { t in
        let bench = try t.space()
        let file = try FileView(pages: 1)
        t.expect(bench.map(file, 0x10000, at: 0), .success, "MAP_FILE")
        t.expect(bench.iommufd.request(.ioasChangeProcess, IOASChangeProcess()), .success, "CHANGE_PROCESS")
        var copy = IOASCopy(
            flags: [.readable], destinationIOASID: bench.ioas, sourceIOASID: bench.ioas, length: bench.page,
            sourceIOVA: 0x10000)
        t.expect(bench.iommufd.request(.ioasCopy, &copy), .success, "COPY")
        t.expect(bench.iommufd.request(.ioasChangeProcess, IOASChangeProcess()), .success, "with the copy")
        t.expect(bench.map(0x20000), .success, "MAP by address")
        t.expect(
            bench.iommufd.request(.ioasChangeProcess, IOASChangeProcess()), .errno(.invalid), "with that")
    },
]

/// A memory file of zeros, and a mapping of it.
private final class FileView {
    private let file: Descriptor
    private let mapping: Mapping

    init(pages: Int) throws(Errno) {
        file = try MemoryFile.create("conformance", byteCount: UInt64(pages * pageSize))
        mapping = try Mapping(sharing: file.number, at: 0, byteCount: pages * pageSize)
    }

    var number: Int32 { file.number }
    var window: MemoryWindow { mapping.window }
}

extension SpaceBench {
    /// MAP_FILE of a part of a file at an address.
    fileprivate func map(
        _ file: FileView, _ iova: UInt64, at start: UInt64, pages: UInt64 = 1,
        _ access: IOASMapFlags = [.readable, .writeable]
    ) -> Answer {
        map(number: file.number, iova, at: start, pages: pages, access)
    }

    /// MAP_FILE of a part of what a descriptor stands for.
    fileprivate func map(
        number: Int32, _ iova: UInt64, at start: UInt64, pages: UInt64 = 1, _ access: IOASMapFlags
    ) -> Answer {
        iommufd.request(
            .ioasMapFile,
            IOASMapFile(
                flags: access.union(.fixedIOVA), ioasID: ioas, fd: number, start: start, length: pages * page,
                iova: iova))
    }
}
