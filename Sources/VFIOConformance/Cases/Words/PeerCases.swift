import LinuxSystem
import VFIOABI
import VFIOHost

/// F.3 and D.12: memory of one device as a target of another's DMA.
let peerCases: [Case] = [
    Case("F.3", "MAP_FILE of a DMA_BUF: one part, inside it, and only while it is there", on: .cdev) { t in
        let bar = try t.openExportableBAR()
        guard let iommufd = bar.setup.iommufd, let ioas = bar.setup.ioas else { throw t.skip("no iommufd") }
        let page = UInt64(pageSize)
        let one = t.adopt(try t.require(bar.device.export(bar.index, [(0, 2 * page)]), "one part"))
        let two = t.adopt(
            try t.require(bar.device.export(bar.index, [(page, page), (0, page)]), "two parts"))
        func map(_ file: File, _ start: UInt64, _ length: UInt64) -> Answer {
            iommufd.mapFile(file, start, length, at: 0x100_0000, in: ioas)
        }
        t.expect(map(two, 0, page), .errno(.notSupported), "two parts")
        t.expect(map(one, 0, 3 * page), .errno(.invalid), "beyond the end")
        t.expect(map(one, 2 * page, page), .errno(.invalid), "behind the end")
        t.expect(map(one, page, page), .success, "the second page")
        t.expect(map(one, 0, page), .errno(.exists), "at the same place")
        t.expect(iommufd.unmapped(0x100_0000, page, from: ioas), .success, "unmapping")
        bar.setCommand(0)
        t.expect(map(one, 0, page), .errno(.noDevice), "while memory is off")
        bar.setCommand(3)
        t.expect(map(one, 0, page), .success, "when it is on again")
        t.expect(iommufd.unmapped(0x100_0000, page, from: ioas), .success, "unmapping")
    },
    Case("D.12", "one device writes to another's memory, until that is taken back", on: .cdev) { t in
        let peer = try t.openExportableBAR()
        guard let iommufd = peer.setup.iommufd, let ioas = peer.setup.ioas else { throw t.skip("no iommufd") }
        let edu = try t.openNode(of: t.edu)
        var bind = DeviceBindIOMMUFD(iommufd: iommufd.number)
        try t.require(edu.request(.deviceBindIOMMUFD, &bind), "BIND_IOMMUFD")
        var attach = DeviceAttachIOMMUFDPageTable(pageTableID: ioas)
        try t.require(edu.request(.deviceAttachIOMMUFD, &attach), "ATTACH_IOMMUFD_PT")
        edu.store(0x6 as UInt16, at: Place.command)
        let page = UInt64(pageSize)
        let memory = t.adopt(try t.require(peer.device.export(peer.index, [(page, page)]), "DMA_BUF"))
        let (there, ours) = (0x100_0000 as UInt64, 0x200_0000 as UInt64)
        try t.require(iommufd.mapFile(memory, 0, page, at: there, in: ioas), "MAP_FILE")
        let source = try t.memory(pages: 1)
        var map = IOASMap(
            flags: [.fixedIOVA, .readable, .writeable], ioasID: ioas, userVA: source.vaddr, length: page,
            iova: ours)
        try t.require(iommufd.request(.ioasMap, &map), "IOAS_MAP")
        source.window.store64(0, 0x1122_3344_5566_7788)
        let target = peer.start + page
        peer.device.store(0 as UInt64, at: target)
        t.expect(edu.copy(from: ours, to: there, count: 8), "edu's copy ends")
        t.expect(
            try peer.device.load(UInt64.self, at: target), equals: 0x1122_3344_5566_7788,
            "the other device's memory")
        // Its memory is off for a moment: what was mapped is gone for good.
        peer.setCommand(0)
        peer.setCommand(3)
        peer.device.store(0 as UInt64, at: target)
        t.expect(edu.copy(from: ours, to: there, count: 8), "edu's copy ends again")
        t.expect(try peer.device.load(UInt64.self, at: target), equals: 0, "nothing arrives")
        t.expect(iommufd.unmapped(there, page, from: ioas), .success, "what is left can be unmapped")
        try t.require(iommufd.mapFile(memory, 0, page, at: there, in: ioas), "mapping it anew")
        t.expect(edu.copy(from: ours, to: there, count: 8), "edu's copy ends")
        t.expect(
            try peer.device.load(UInt64.self, at: target), equals: 0x1122_3344_5566_7788,
            "the other device's memory, mapped anew")
    },
]

extension File {
    /// IOAS_MAP_FILE for reading and writing, at an address.
    fileprivate func mapFile(
        _ file: File, _ start: UInt64, _ length: UInt64, at iova: UInt64, in ioas: UInt32
    ) -> Answer {
        var map = IOASMapFile(
            flags: [.fixedIOVA, .readable, .writeable], ioasID: ioas, fd: file.number, start: start,
            length: length, iova: iova)
        return request(.ioasMapFile, &map)
    }

    /// IOAS_UNMAP
    fileprivate func unmapped(_ iova: UInt64, _ length: UInt64, from ioas: UInt32) -> Answer {
        var unmap = IOASUnmap(ioasID: ioas, iova: iova, length: length)
        return request(.ioasUnmap, &unmap)
    }

    /// Has edu copy memory into its buffer and from there to other memory.
    /// - Returns: whether both ended.
    fileprivate func copy(from source: UInt64, to target: UInt64, count: UInt64) -> Bool {
        let buffer: UInt64 = 0x40000
        for (from, to, command) in [(source, buffer, 1), (buffer, target, 3)] as [(UInt64, UInt64, UInt64)] {
            store(from, at: 0x80)
            store(to, at: 0x88)
            store(count, at: 0x90)
            store(command, at: 0x98)
            var isDone = false
            for _ in 0..<2000 where !isDone {
                isDone = (try? load(UInt64.self, at: 0x98)).map { $0 & 1 == 0 } ?? false
                if !isDone { Clock.sleep(nanoseconds: 5_000_000) }
            }
            guard isDone else { return false }
        }
        return true
    }
}
