import JSONText
import LinuxSystem
import Testing
import VFIOABI
import VFIOUser

@Suite("A message as a line")
struct DescriptionTests {
    private func line(
        _ command: UserCommand, _ body: [UInt8] = [], flags: UserMessageFlags = [], error: UInt32 = 0,
        descriptors: Int = 0
    ) -> String {
        let header = UserMessageHeader(
            id: 7, command: command, messageSize: UInt32(16 + body.count), flags: flags, error: error)
        return MessageDescription(header, body: body.span.bytes, descriptorCount: descriptors).description
    }

    private func line(
        _ command: UserCommand, _ body: some ABIValue, _ more: [UInt8] = [], flags: UserMessageFlags = [],
        descriptors: Int = 0
    ) -> String {
        line(command, RawClient.bytes(body) + more, flags: flags, descriptors: descriptors)
    }

    private func bytes(_ words: UInt64...) -> [UInt8] { words.flatMap { RawClient.bytes($0) } }

    @Test("says the version and its JSON, whatever bytes that has")
    func version() {
        let text = Array(#"{"capabilities":{}}"#.utf8) + [0]
        #expect(
            line(.version, UserVersion(major: 0, minor: 1), text)
                == #"VERSION #7 version=0.1 json={"capabilities":{}}"#)
        #expect(
            line(.version, UserVersion(major: 0, minor: 1), text, flags: .reply, descriptors: 1)
                == #"VERSION #7 reply version=0.1 json={"capabilities":{}} fds=1"#)
        #expect(line(.version, UserVersion()) == "VERSION #7 version=0.0")
        #expect(
            line(.version, UserVersion(), Array("a\n\u{1b}\\é".utf8))
                == #"VERSION #7 version=0.0 json=a\x0a\x1b\x5c\xc3\xa9"#)
    }

    @Test("says what memory is mapped, with which flags, and how many descriptors came")
    func mapping() {
        let map = UserDMAMap(flags: [.read, .write], offset: 0x2000, address: 0x1000, size: 0x1000)
        #expect(
            line(.dmaMap, map, descriptors: 1)
                == "DMA_MAP #7 argsz=32 flags=READ|WRITE iova=0x1000-0x1fff offset=0x2000 fds=1")
        let odd = UserDMAMap(argsz: 5, flags: UserDMAMapFlags(rawValue: 0x85), address: .max, size: 2)
        #expect(
            line(.dmaMap, odd)
                == "DMA_MAP #7 argsz=5 flags=READ|MMAP|0x80 iova=0xffffffffffffffff+0x2 offset=0x0")
        #expect(line(.dmaMap, flags: .reply) == "DMA_MAP #7 reply")
        #expect(line(.dmaMap, flags: [.reply, .error], error: 17) == "DMA_MAP #7 error=EEXIST(17)")
        #expect(line(.dmaMap, flags: [.reply, .error], error: 4000) == "DMA_MAP #7 error=4000")
        #expect(line(.dmaMap, flags: [.reply, .error], error: .max) == "DMA_MAP #7 error=4294967295")
    }

    @Test("says what is unmapped, and how many pages were dirty")
    func unmapping() {
        #expect(
            line(.dmaUnmap, UserDMAUnmap(flags: .all))
                == "DMA_UNMAP #7 argsz=24 flags=ALL iova=0x0+0x0")
        let unmap = UserDMAUnmap(argsz: 48, flags: .getDirtyBitmap, address: 0x1000, size: 0x2000)
        let bitmap = RawClient.bytes(UserDirtyBitmap(pageSize: 4096, size: 8))
        let said = "argsz=48 flags=GET_DIRTY_BITMAP iova=0x1000-0x2fff pgsize=0x1000 bitmap_size=8"
        #expect(line(.dmaUnmap, unmap, bitmap) == "DMA_UNMAP #7 \(said)")
        #expect(
            line(.dmaUnmap, unmap, bitmap + bytes(0b101), flags: .reply)
                == "DMA_UNMAP #7 reply \(said) dirty=2")
    }

    @Test("says what the device, its regions and its interrupts are")
    func descriptions() {
        #expect(line(.deviceGetInfo, UserDeviceInfo()) == "DEVICE_GET_INFO #7 argsz=16")
        #expect(
            line(
                .deviceGetInfo, UserDeviceInfo(flags: [.pci, .reset], regionCount: 9, irqCount: 5),
                flags: .reply)
                == "DEVICE_GET_INFO #7 reply flags=RESET|PCI regions=9 irqs=5")
        #expect(
            line(.deviceGetRegionInfo, RegionInfo(index: 7))
                == "DEVICE_GET_REGION_INFO #7 argsz=32 index=CONFIG")
        let info = RegionInfo(
            argsz: 80, flags: [.read, .write, .mmap, .caps], index: 2, capabilityOffset: 32, size: 0x4000,
            offset: 0)
        let sparse =
            RawClient.bytes(
                SparseMmapCapability(header: CapabilityHeader(id: 1, version: 1), areaCount: 6))
            + (1...6).flatMap {
                RawClient.bytes(SparseMmapArea(offset: UInt64($0) << 12, size: 0x1000))
            }
        #expect(
            line(.deviceGetRegionInfo, info, sparse, flags: .reply, descriptors: 1)
                == "DEVICE_GET_REGION_INFO #7 reply argsz=80 index=BAR2 flags=READ|WRITE|MMAP|CAPS"
                + " size=0x4000 offset=0x0"
                + " mmap=0x1000-0x1fff,0x2000-0x2fff,0x3000-0x3fff,0x4000-0x4fff,… fds=1")
        #expect(
            line(.deviceGetIRQInfo, IRQInfo(index: 9)) == "DEVICE_GET_IRQ_INFO #7 argsz=16 index=9")
        #expect(
            line(
                .deviceGetIRQInfo, IRQInfo(flags: [.eventFD, .noResize], index: 2, count: 33), flags: .reply)
                == "DEVICE_GET_IRQ_INFO #7 reply index=MSIX flags=EVENTFD|NORESIZE count=33")
    }

    @Test("says which parts of a region have eventfds")
    func doorbells() {
        #expect(
            line(.deviceGetRegionIOFDs, UserRegionIOFDs(argsz: 4096, index: 0))
                == "DEVICE_GET_REGION_IO_FDS #7 argsz=4096 index=BAR0")
        let entries =
            RawClient.bytes(UserRegionIOFD(offset: 0x1000, size: 4, type: 2))
            + RawClient.bytes(UserRegionIOFD(offset: 0x1004, size: 4, type: 0))
        #expect(
            line(
                .deviceGetRegionIOFDs, UserRegionIOFDs(argsz: 112, index: 0, count: 2), entries,
                flags: .reply, descriptors: 3)
                == "DEVICE_GET_REGION_IO_FDS #7 reply argsz=112 index=BAR0 count=2"
                + " io_fds=shadow:0x1000-0x1003,ioeventfd:0x1004-0x1007 fds=3")
    }

    @Test("says what becomes of interrupts")
    func interrupts() {
        let set = IRQSet(flags: [.dataEventFD, .actionTrigger], index: 2, start: 1, count: 2)
        #expect(
            line(.deviceSetIRQs, set, descriptors: 2)
                == "DEVICE_SET_IRQS #7 argsz=20 flags=DATA_EVENTFD|ACTION_TRIGGER index=MSIX start=1 count=2 fds=2"
        )
        let booleans = IRQSet(argsz: 22, flags: [.dataBool, .actionMask], index: 0, start: 0, count: 2)
        #expect(
            line(.deviceSetIRQs, booleans, [1, 0])
                == "DEVICE_SET_IRQS #7 argsz=22 flags=DATA_BOOL|ACTION_MASK index=INTX start=0 count=2 data=1,0"
        )
        #expect(line(.deviceSetIRQs, flags: .reply) == "DEVICE_SET_IRQS #7 reply")
    }

    @Test("shows small values as numbers and the beginning of long data")
    func access() {
        let access = UserRegionAccess(offset: 0x14, region: 0, count: 4)
        #expect(line(.regionRead, access) == "REGION_READ #7 region=BAR0 offset=0x14 count=4")
        #expect(
            line(.regionRead, access, [0x78, 0x56, 0x34, 0x12], flags: .reply)
                == "REGION_READ #7 reply region=BAR0 offset=0x14 count=4 data=0x12345678")
        #expect(
            line(.regionWrite, access, [1, 0, 0, 0], flags: .noReply)
                == "REGION_WRITE #7 region=BAR0 offset=0x14 count=4 data=0x00000001 noreply")
        #expect(
            line(.regionWrite, access, flags: .reply)
                == "REGION_WRITE #7 reply region=BAR0 offset=0x14 count=4")
        let config = UserRegionAccess(offset: 0, region: 7, count: 20)
        #expect(
            line(.regionRead, config, Array(0..<20), flags: .reply)
                == "REGION_READ #7 reply region=CONFIG offset=0x0 count=20"
                + " data=00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f… bytes=20")
    }

    @Test("shows the first of several writes")
    func writes() {
        let records = (0..<5).flatMap { index in
            RawClient.bytes(
                UserRegionWrite(
                    access: UserRegionAccess(offset: UInt64(index) * 4, region: 1, count: 4),
                    data: 0xffff_ffff_0000_0000 | UInt64(index)))
        }
        #expect(
            line(.regionWriteMulti, UserRegionWriteMulti(writeCount: 5), records)
                == "REGION_WRITE_MULTI #7 writes=5 write=BAR1+0x0=0x00000000,BAR1+0x4=0x00000001,"
                + "BAR1+0x8=0x00000002,BAR1+0xc=0x00000003,…")
        #expect(
            line(.regionWriteMulti, UserRegionWriteMulti(writeCount: 5), flags: .reply)
                == "REGION_WRITE_MULTI #7 reply writes=5")
    }

    @Test("says what the server asks for")
    func dma() {
        let access = UserDMAAccess(address: 0x8000_0000, count: 8)
        let eight: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0]
        #expect(line(.dmaRead, access) == "DMA_READ #7 iova=0x80000000 count=8")
        #expect(
            line(.dmaRead, access, eight, flags: .reply)
                == "DMA_READ #7 reply iova=0x80000000 count=8 data=0x0000000000000001")
        #expect(
            line(.dmaWrite, access, eight)
                == "DMA_WRITE #7 iova=0x80000000 count=8 data=0x0000000000000001")
        #expect(line(.dmaWrite, access, flags: .reply) == "DMA_WRITE #7 reply iova=0x80000000 count=8")
    }

    @Test("says which feature is meant and what is in it")
    func features() {
        func feature(
            _ feature: Feature, _ operation: FeatureFlags, _ data: [UInt8] = [],
            flags: UserMessageFlags = []
        ) -> String {
            line(
                .deviceFeature, DeviceFeature(argsz: 64, flags: FeatureFlags(feature, operation)), data,
                flags: flags)
        }
        #expect(
            feature(.migration, [.get, .probe])
                == "DEVICE_FEATURE #7 argsz=64 flags=GET|PROBE|MIGRATION")
        #expect(
            feature(.migration, .get, bytes(5), flags: .reply)
                == "DEVICE_FEATURE #7 reply argsz=64 flags=GET|MIGRATION migration=STOP_COPY|PRE_COPY")
        #expect(
            feature(
                .migrationDeviceState, .set, RawClient.bytes(MigrationStateFeature(deviceState: .stopCopy)))
                == "DEVICE_FEATURE #7 argsz=64 flags=SET|MIG_DEVICE_STATE device_state=STOP_COPY")
        let control = RawClient.bytes(UserDMALoggingControl(pageSize: 4096, rangeCount: 1))
        #expect(
            feature(.dmaLoggingStart, .set, control + bytes(0x1000, 0x1000))
                == "DEVICE_FEATURE #7 argsz=64 flags=SET|DMA_LOGGING_START page_size=0x1000 num_ranges=1"
                + " ranges=0x1000-0x1fff")
        #expect(
            feature(.dmaLoggingStop, .set) == "DEVICE_FEATURE #7 argsz=64 flags=SET|DMA_LOGGING_STOP")
        #expect(
            feature(.dmaLoggingReport, .get, bytes(0, 0x4000, 4096, 0b1011), flags: .reply)
                == "DEVICE_FEATURE #7 reply argsz=64 flags=GET|DMA_LOGGING_REPORT iova=0x0-0x3fff"
                + " page_size=0x1000 dirty=3")
        #expect(feature(Feature(rawValue: 77), []) == "DEVICE_FEATURE #7 argsz=64 flags=0|77")
    }

    @Test("says how much of a device's state goes over")
    func migration() {
        #expect(
            line(.migrationDataRead, UserMigrationData(argsz: 4104, size: 4096))
                == "MIG_DATA_READ #7 argsz=4104 size=4096")
        #expect(
            line(.migrationDataRead, UserMigrationData(argsz: 10, size: 2), [1, 2], flags: .reply)
                == "MIG_DATA_READ #7 reply argsz=10 size=2 data=0x0201")
        #expect(
            line(.migrationDataWrite, UserMigrationData(argsz: 11, size: 3), [1, 2, 3])
                == "MIG_DATA_WRITE #7 argsz=11 size=3 data=01:02:03")
        #expect(line(.migrationDataWrite, flags: .reply) == "MIG_DATA_WRITE #7 reply")
        #expect(line(.deviceReset) == "DEVICE_RESET #7")
        #expect(line(.deviceReset, flags: .reply) == "DEVICE_RESET #7 reply")
    }

    @Test("shows what is too short, too long, unknown or no command at all")
    func malformed() {
        #expect(line(.regionRead, [1, 2]) == "REGION_READ #7 short=2/16 body=01:02 bytes=2")
        #expect(line(.deviceReset, [1]) == "DEVICE_RESET #7 body=01 bytes=1")
        #expect(line(UserCommand(rawValue: 99)) == "command 99 #7")
        #expect(line(UserCommand(rawValue: 14)) == "DIRTY_PAGES #7")
        let flags = UserMessageFlags(rawValue: 0x103)
        #expect(line(.deviceReset, flags: flags) == "DEVICE_RESET #7 type=3 header_flags=0x103")
        let header = UserMessageHeader(id: 1, command: .regionWrite, messageSize: 9_000_000)
        #expect(
            MessageDescription(header, body: RawSpan(), isOversized: true).description
                == "REGION_WRITE #1 oversized=9000000")
        #expect(MessageDescription([1, 2, 3].span.bytes.extracting(0..<3)) == nil)
    }

    @Test("has an end, and nothing but printable characters, whatever the bytes are")
    func anything() {
        var random = Generator.seeded("descriptions")
        var budget = FuzzBudget("descriptions", 30_000)
        while budget.goes {
            budget.spend(1)
            // Small numbers make sense more often than others.
            let isSmall = random.below(2) == 0
            let body = (0..<random.below(200)).map { _ in
                isSmall && random.below(3) > 0
                    ? UInt8(random.below(3)) : UInt8(truncatingIfNeeded: random.next())
            }
            let header = UserMessageHeader(
                id: UInt16(truncatingIfNeeded: random.next()),
                command: UserCommand(rawValue: UInt16(random.below(20))),
                messageSize: UInt32(truncatingIfNeeded: random.next()),
                flags: UserMessageFlags(rawValue: [0, 1, 1, 0x10, 0x21, UInt32.max][random.below(6)]),
                error: UInt32(truncatingIfNeeded: random.next()))
            let text = MessageDescription(
                header, body: body.span.bytes, descriptorCount: random.below(17)
            ).description
            #expect(text.utf8.count <= MessageDescription.mostBytes, "\(text)")
            #expect(
                text.unicodeScalars.allSatisfy { $0 == "…" || (0x20..<0x7f).contains($0.value) }, "\(text)")
        }
        let long = [UInt8](repeating: 0x1b, count: 60_000)
        for command: UInt16 in 0...20 {
            for flags: UserMessageFlags in [[], .reply, [.reply, .error]] {
                let text = line(UserCommand(rawValue: command), long, flags: flags)
                #expect(text.utf8.count <= MessageDescription.mostBytes)
            }
        }
    }
}
