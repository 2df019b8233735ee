import LinuxSystem
import VFIOABI
import VFIOHost

/// D.12: DMA-BUFs of memory in a BAR.
let memoryExportCases: [Case] = [
    Case("D.12", "a DMA_BUF is made of whole pages inside a memory BAR", on: .all) { t in
        let bar = try t.openExportableBAR()
        let (page, end) = (UInt64(pageSize), bar.byteCount)
        func range(_ offset: UInt64, _ length: UInt64) -> Answer {
            bar.device.export(bar.index, [(offset, length)])
        }
        t.expect(range(0, 0), .errno(.invalid), "no bytes")
        t.expect(range(0, 1), .errno(.invalid), "one byte")
        t.expect(range(0, page + 1), .errno(.invalid), "a page and a byte")
        t.expect(range(1, page), .errno(.invalid), "beginning at the second byte")
        t.expect(range(end, page), .errno(.invalid), "behind the end")
        t.expect(range(0, end + page), .errno(.invalid), "beyond the end")
        t.expect(range(UInt64.max - (page - 1), page), .errno(.overflow), "wrapping around")
        t.expect(
            bar.device.export(bar.index, [(0, UInt64.max - (page - 1)), (0, page)]), .errno(.invalid),
            "two parts whose lengths wrap around")
    },
    Case("D.12", "a DMA_BUF says how many parts it has, and no more than a kernel can copy", on: .all) { t in
        let bar = try t.openExportableBAR()
        let page = UInt64(pageSize)
        t.expect(bar.device.export(bar.index, []), .errno(.invalid), "no parts")
        t.expect(bar.device.export(bar.index, [(0, page)], flags: 1), .errno(.invalid), "a flag")
        t.expect(
            bar.device.export(bar.index, [(0, page)], count: .max), .errno(.noMemory), "2^32 − 1 parts")
        // At the end of a page: one part, and nothing behind it.
        let buffer = try t.buffer(atEndOfPage: 40)
        buffer.bytes = exportRequest(bar.index, [(0, page)], count: 2)
        t.expect(bar.device.request(.deviceFeature, buffer), .errno(.badAddress), "a part that can't be read")
        buffer.store(UInt32(24))
        buffer.store(UInt32(1), at: 20)
        let answer = bar.device.request(.deviceFeature, buffer)
        t.expect(answer.isDescriptor(of: t), "argsz that ends before the parts")
        buffer.store(UInt32(23))
        t.expect(bar.device.request(.deviceFeature, buffer), .errno(.invalid), "argsz 23")
    },
    Case("D.12", "a DMA_BUF is of a BAR that is there", on: .all) { t in
        let bar = try t.openExportableBAR()
        for index: UInt32 in [6, 7, 8, 9, .max] {
            t.expect(bar.device.export(index, [(0, UInt64(pageSize))]), .errno(.noDevice), "region \(index)")
        }
        for index in 0..<6 as Range<UInt32> where bar.device.regionInfo(index).info.size == 0 {
            t.expect(
                bar.device.export(index, [(0, UInt64(pageSize))]), .errno(.noDevice), "a BAR that isn't there"
            )
            break
        }
    },
    Case("D.12", "a DMA_BUF is a descriptor that isn't the device's", on: .all) { t in
        let bar = try t.openExportableBAR()
        let page = UInt64(pageSize)
        let number = try t.require(bar.device.export(bar.index, [(page, page), (0, page)]), "DMA_BUF")
        let memory = t.adopt(number)
        t.expect(memory.number != bar.device.number, "a new descriptor")
        t.expect(memory.request(.deviceGetInfo, 0), .errno(.noSuchRequest), "a device's request")
        t.expect(memory.map(at: 0, byteCount: pageSize).answer, .errno(.invalid), "mapping")
        t.expect(bar.device.export(bar.index, [(0, page)]).isDescriptor(of: t), "another of the same memory")
        memory.close()
        t.expect(
            bar.device.export(bar.index, [(0, page)]).isDescriptor(of: t), "one more after it was closed")
    },
    Case("D.12", "a DMA_BUF can be made while memory is off", on: .all) { t in
        let bar = try t.openExportableBAR()
        bar.setCommand(0)
        t.expect(bar.device.export(bar.index, [(0, UInt64(pageSize))]).isDescriptor(of: t), "DMA_BUF")
    },
]

/// The bytes of a FEATURE request for a DMA-BUF.
private func exportRequest(
    _ region: UInt32, _ ranges: [(UInt64, UInt64)], flags: UInt32 = 0, count: UInt32? = nil
) -> [UInt8] {
    func bytes(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }
    let request = FeatureFlags(.dmaBuf, .get)
    var all = bytes(UInt64(24 + 16 * ranges.count), 4) + bytes(UInt64(request.rawValue), 4)
    // vfio_device_feature_dma_buf: region_index, open_flags, flags, nr_ranges; and each vfio_region_dma_range.
    let head = DMABufFeature(
        regionIndex: region, openFlags: UInt32(Descriptor.OpenOptions.readWrite.rawValue), flags: flags,
        rangeCount: count ?? UInt32(ranges.count))
    for word in [head.regionIndex, head.openFlags, head.flags, head.rangeCount] {
        all += bytes(UInt64(word), 4)
    }
    for (offset, length) in ranges {
        let range = RegionDMARange(offset: offset, length: length)
        all += bytes(range.offset, 8) + bytes(range.length, 8)
    }
    return all
}

extension File {
    /// FEATURE DMA_BUF.
    /// - Parameter count: how many parts are said to follow; nil for as many as do.
    func export(
        _ region: UInt32, _ ranges: [(UInt64, UInt64)], flags: UInt32 = 0, count: UInt32? = nil
    ) -> Answer {
        let bytes = exportRequest(region, ranges, flags: flags, count: count)
        // SAFETY: the address is used during the call only.
        return unsafe bytes.span.withUnsafeBytes { buffer in
            request(.deviceFeature, UInt(bitPattern: buffer.baseAddress))
        }
    }
}

extension Answer {
    /// Whether it is a new descriptor, which is closed with the case.
    fileprivate func isDescriptor(of trial: Trial) -> Bool {
        guard case .value(let number) = self, number >= 0 else { return false }
        _ = trial.adopt(number)
        return true
    }
}

extension Trial {
    /// A device with a BAR of memory that can be exported: two pages at least.
    func openExportableBAR() throws -> OpenBAR {
        if kernel.kind == .vfioUser { throw skip("the protocol has no dma-bufs") }
        return try openBAR(.memory, "a device with memory, and a kernel that exports it") { device in
            device.feature(.dmaBuf, [.probe, .get]) == .success
        }
    }
}
