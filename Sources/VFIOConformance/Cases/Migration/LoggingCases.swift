import LinuxSystem
import VFIOABI
import VFIOHost

/// E.5: the log that a device keeps of the pages that it writes.
let loggingCases: [Case] = [
    Case("E.5", "a log begins, tells and ends; without one it can't tell", on: .translated) { t in
        let movable = try t.openMovable()
        let noLog = Exception.when(movable.isSample, .success, "the sample's log is only a gesture")
        t.expect(movable.report(0, 4096, 4096), .errno(.invalid), "REPORT before START", noLog)
        t.expect(movable.device.feature(.dmaLoggingStop, .set), .success, "STOP before START")
        t.expect(movable.startLog([(0, 1 << 20)]).answer, .success, "START")
        t.expect(movable.startLog([(0, 1 << 20)]).answer, .errno(.invalid), "START again", noLog)
        t.expect(movable.report(0, 1 << 20, 4096), .success, "REPORT")
        t.expect(movable.report(4096, 4096, 4096), .success, "REPORT of a part")
        t.expect(movable.report(1 << 20, 1 << 20, 4096), .success, "REPORT of what isn't logged")
        for _ in 0..<2 { t.expect(movable.device.feature(.dmaLoggingStop, .set), .success, "STOP") }
        t.expect(movable.report(0, 4096, 4096), .errno(.invalid), "REPORT after STOP", noLog)
    },
    Case("E.5", "the features of logging have their operations and sizes", on: .translated) { t in
        let device = try t.openMovable().device
        for (name, feature, isSet, size) in logging {
            t.expect(
                device.feature(feature, [.probe, isSet ? .set : .get]), .success, "\(name): PROBE, its own")
            t.expect(
                device.feature(feature, [.probe, isSet ? .get : .set]), .errno(.invalid),
                "\(name): PROBE, the other")
            let zeros = [UInt8](repeating: 0, count: 48)
            t.expect(
                device.feature(feature, isSet ? .get : .set, payload: zeros), .errno(.invalid),
                "\(name): the other")
            guard size > 0 else { continue }
            t.expect(
                device.feature(feature, isSet ? .set : .get, payload: zeros, argsz: UInt32(8 + size - 1)),
                .errno(.invalid), "\(name): a byte short")
            let short = try t.buffer(atEndOfPage: 8 + size - 1)
            short.store(
                DeviceFeature(
                    argsz: UInt32(8 + size), flags: FeatureFlags(feature, isSet ? .set : .get)))
            t.expect(device.request(.deviceFeature, short), .errno(.badAddress), "\(name): a byte not there")
        }
    },
    Case("E.5", "START takes 1 to 256 ranges, which can be read", on: .translated) { t in
        let movable = try t.openMovable()
        func start(_ count: UInt32, _ address: UInt64, _ page: UInt64 = 4096) -> Answer {
            var request = FeatureRequest(
                .dmaLoggingStart, .set,
                DMALoggingControl(pageSize: page, rangeCount: count, ranges: address))
            return movable.device.request(.deviceFeature, &request)
        }
        t.expect(start(0, 0), .errno(.invalid), "none")
        t.expect(start(257, 0), .errno(.tooBig), "257")
        t.expect(start(.max, 0), .errno(.tooBig), "4294967295")
        t.expect(start(1, 0), .errno(.badAddress), "at no address")
        let page = UInt64(4096)
        let many = (0..<256).map { (2 * UInt64($0) * page, page) }
        let (answer, told) = movable.startLog(many)
        t.expect(answer, .success, "256")
        t.expect(told >= 4096 && told.nonzeroBitCount == 1, "the size of a page is told")
        t.expect(movable.device.feature(.dmaLoggingStop, .set), .success, "STOP")
    },
    Case(
        "E.5", "START's ranges are whole pages, end before the last address, and don't overlap",
        on: .translated
    ) {
        t in
        let movable = try t.openMovable()
        let page = UInt64(4096)
        t.expect(movable.startLog([(1, page)]).answer, .errno(.invalid), "an odd address")
        t.expect(movable.startLog([(0, page + 1)]).answer, .errno(.invalid), "an odd length")
        t.expect(movable.startLog([(page, page)], 2 * page).answer, .errno(.invalid), "half a page")
        t.expect(movable.startLog([(0 &- page, page)]).answer, .errno(.overflow), "the last page of all")
        t.expect(movable.startLog([(0 &- page, 2 * page)]).answer, .errno(.overflow), "around the end")
        t.expect(
            movable.startLog([(0, 2 * page), (page, page)]).answer, .errno(.invalid), "one inside another")
        t.expect(movable.startLog([(page, page), (page, page)]).answer, .errno(.invalid), "one twice")
        t.expect(movable.startLog([(page, page), (0, page)]).answer, .success, "neighbours in any order")
        try movable.reset()
        t.expect(movable.startLog([(0 &- 2 * page, page)]).answer, .success, "the last page but one")
        try movable.reset()
        t.expect(movable.startLog([(0, 16 * page)], 16 * page).answer, .success, "larger pages")
    },
    Case("E.5", "REPORT's pages have a size that is possible, and its range an end", on: .translated) { t in
        let movable = try t.openMovable()
        let page = UInt64(4096)
        try t.require(movable.startLog([(0, 1 << 20)]).answer, "START")
        for size: UInt64 in [0, 1, 2048, 4097, 12288] {
            t.expect(movable.report(0, 1 << 20, size), .errno(.invalid), "pages of \(size)")
        }
        for size: UInt64 in [8192, 1 << 20] {
            t.expect(movable.report(0, 1 << 20, size), .success, "pages of \(size)")
        }
        var nowhere = FeatureRequest(
            .dmaLoggingReport, .get, DMALoggingReport(iova: 0, length: 1 << 20, pageSize: page, bitmap: 0))
        t.expect(
            movable.device.request(.deviceFeature, &nowhere), .success,
            "bits that nobody could set, where none is to be set")
        t.expect(movable.report(0 &- page, page, page), .errno(.overflow), "the last page of all")
        t.expect(movable.report(.max, .max, page), .errno(.overflow), "around the end")
    },
    Case("E.5", "REPORT sets bits and clears none; what is told once isn't told again", on: .translated) {
        t in
        let movable = try t.openMovable()
        let words = try t.buffer(8)
        words.store(UInt64(0xf0))
        try t.require(movable.startLog([(0x10_0000, 0x1_0000)]).answer, "START")
        t.expect(movable.report(0x10_0000, 0x1_0000, 4096, into: words.address), .success, "REPORT")
        t.expect(words.load(UInt64(0)), equals: 0xf0, "bits that were set")
        guard let setup = movable.setup else { throw t.skip("the device does no DMA") }
        guard setup.record.vendor == 0x1234 else { throw t.skip("it needs an edu device") }
        let memory = try t.memory(pages: 16)
        try t.map(memory, at: 0x10_0000, for: setup)
        words.store(UInt64(0))
        guard try setup.eduCopies(memory, at: 0x10_0000, by: t) else { throw Halt.broken("DMA") }
        t.expect(movable.report(0x10_0000, 0x1_0000, 4096, into: words.address), .success, "REPORT")
        t.expect(words.load(UInt64(0)), equals: 1, "the page that was written")
        words.store(UInt64(0))
        t.expect(movable.report(0x10_0000, 0x1_0000, 4096, into: words.address), .success, "REPORT")
        t.expect(words.load(UInt64(0)), equals: 0, "nothing since")
    },
    Case("E.5", "RESET ends the log", on: .translated) { t in
        let movable = try t.openMovable()
        try t.require(movable.startLog([(0, 1 << 20)]).answer, "START")
        try movable.reset()
        t.expect(
            movable.report(0, 4096, 4096), .errno(.invalid), "REPORT",
            .when(movable.isSample, .success, "the sample's log is only a gesture"))
        t.expect(movable.startLog([(0, 1 << 20)]).answer, .success, "START")
    },
]

private let logging: [(String, Feature, isSet: Bool, size: Int)] = [
    ("START", .dmaLoggingStart, true, 24), ("STOP", .dmaLoggingStop, true, 0),
    ("REPORT", .dmaLoggingReport, false, 32),
]

extension Movable {
    /// DMA_LOGGING_START with ranges.
    /// - Returns: the answer, and the size of a page that was told.
    fileprivate func startLog(
        _ ranges: [(UInt64, UInt64)], _ page: UInt64 = 4096
    ) -> (answer: Answer, page: UInt64) {
        let list = ranges.map { DMALoggingRange(iova: $0.0, length: $0.1) }
        // SAFETY: the address is used during the call only.
        return unsafe list.withUnsafeBufferPointer { buffer in
            var request = FeatureRequest(
                .dmaLoggingStart, .set,
                DMALoggingControl(
                    pageSize: page, rangeCount: UInt32(buffer.count),
                    ranges: UInt64(UInt(bitPattern: buffer.baseAddress))))
            let answer = device.request(.deviceFeature, &request)
            return (answer, request.body.pageSize)
        }
    }

    /// DMA_LOGGING_REPORT into bits that nobody looks at.
    fileprivate func report(_ iova: UInt64, _ length: UInt64, _ page: UInt64) -> Answer {
        let words = [UInt64](repeating: 0, count: 1024)
        // SAFETY: the address is used during the call only, and 65536 bits are enough for all that is asked about.
        return unsafe words.withUnsafeBufferPointer { buffer in
            report(iova, length, page, into: HostAddress(UInt64(UInt(bitPattern: buffer.baseAddress))))
        }
    }

    /// DMA_LOGGING_REPORT
    fileprivate func report(
        _ iova: UInt64, _ length: UInt64, _ page: UInt64, into bits: HostAddress
    ) -> Answer {
        var request = FeatureRequest(
            .dmaLoggingReport, .get,
            DMALoggingReport(iova: iova, length: length, pageSize: page, bitmap: UInt64(bits.rawValue)))
        return device.request(.deviceFeature, &request)
    }
}
