import DeviceModel
import Glibc
import IOVASpace
import LinuxSystem
import Testing
import VFIOABI

@testable import SoftwareHost

@Suite("PCI driver: interrupts")
struct PCIInterruptTests {
    private let trigger: IRQSetFlags = [.dataEventFD, .actionTrigger]

    private func openExpress(dynamic: Bool = true, line: Bool = false) throws -> Bench {
        let bench = try expressBench(dynamic: dynamic)
        try bench.driver.openDevice()
        bench.setConfig(4, 2, 7)
        return bench
    }

    private func openConventional() throws -> Bench {
        let bench = conventionalBench()
        try bench.driver.openDevice()
        return bench
    }

    @Test("Every index is described as Linux does")
    func info() throws {
        let bench = try openExpress()
        let infos = try (UInt32(0)..<5).map { try bench.irqInfo($0) }
        #expect(infos.map(\.flags.rawValue) == [7, 9, 1, 9, 9])
        #expect(infos.map(\.count) == [1, 4, 8, 1, 1])
        #expect(errno { try bench.irqInfo(5) } == .invalid)
        var short = IRQInfo(argsz: 15)
        #expect(errno { try bench.control(.deviceGetIRQInfo, &short) } == .invalid)
        #expect(try openExpress(dynamic: false).irqInfo(2).flags.rawValue == 9)
        let conventional = try openConventional()
        #expect(errno { try conventional.irqInfo(3) } == .invalid)
        #expect(try conventional.irqInfo(1).count == 0)
        // Without a table nothing can grow.
        #expect(try conventional.irqInfo(2).flags.rawValue == 9)
        #expect(try conventional.irqInfo(0).count == 1)
    }

    @Test("Requests are checked before anything is done")
    func validation() throws {
        let bench = try openExpress()
        let msix = PCIInterrupt.msix
        func code(
            _ index: PCIInterrupt, _ flags: UInt32, _ start: UInt32, _ count: UInt32, _ data: [UInt8] = [],
            argsz: UInt32? = nil
        ) -> Errno? {
            errno {
                try bench.setIRQs(
                    index, IRQSetFlags(rawValue: flags), start: start, count: count, data: data, argsz: argsz)
            }
        }
        #expect(code(msix, 0x21, 0, 0, argsz: 19) == .invalid)
        #expect(code(PCIInterrupt(rawValue: 5), 0x21, 0, 1) == .invalid)
        #expect(code(msix, 0x21, 1, .max - 1) == .invalid)
        #expect(code(msix, 0x61, 0, 1) == .invalid)
        #expect(code(msix, 0x21, 8, 0) == .invalid)
        #expect(code(msix, 0x21, 4, 5) == .invalid)
        #expect(code(msix, 0x20, 0, 1) == .invalid)
        #expect(code(msix, 0x23, 0, 1, [1]) == .invalid)
        #expect(code(msix, 0x24, 0, 2, [0, 0, 0, 0]) == .invalid)
        #expect(code(msix, 0x22, 0, 1) == .invalid)
        #expect(code(msix, 0x01, 0, 1) == .noSuchRequest)
        #expect(code(msix, 0x39, 0, 1) == .noSuchRequest)
        #expect(code(msix, 0x09, 0, 1) == .noSuchRequest)
        #expect(code(.err, 0x11, 0, 1) == .noSuchRequest)
        #expect(errno { try bench.driver.control(UInt32(Request.deviceSetIRQs.rawValue), 4) } == .badAddress)
        // An index without interrupts can't even be disabled.
        let conventional = try openConventional()
        #expect(
            errno { try conventional.setIRQs(.msix, [.dataNone, .actionTrigger], count: 0) } == .invalid)
        #expect(errno { try conventional.setEvents(.err, [-1]) } == .invalid)
    }

    @Test("Data that can't be read is EFAULT, after the checks and before the action")
    func unreadableData() throws {
        let bench = try openExpress()
        // The structure at the end of a page that nothing follows: the file has one page only.
        let file = try MemoryFile.create("one page", byteCount: UInt64(pageSize))
        let mapping = try Mapping(sharing: file.number, at: 0, byteCount: 2 * pageSize)
        let at = pageSize - 20
        mapping.window.store(IRQSet(argsz: 24, flags: trigger, index: 2, start: 0, count: 1), at: at)
        let address = mapping.window.address.rawValue + UInt(at)
        let request = UInt32(Request.deviceSetIRQs.rawValue)
        #expect(errno { try bench.driver.control(request, address) } == .badAddress)
        mapping.window.store(IRQSet(argsz: 24, flags: .dataEventFD, index: 2, start: 0, count: 1), at: at)
        #expect(errno { try bench.driver.control(request, address) } == .badAddress)
        #expect(bench.driver.interrupts.kind == .none)
    }

    @Test("MSI-X vectors reach their eventfds, holes wait as pending")
    func msix() throws {
        let bench = try openExpress()
        let (a, b) = (try PCIEvent(), try PCIEvent())
        try bench.setEvents(.msix, [a.number, -1, b.number])
        bench.function.signal(vector: 0)
        bench.function.signal(vector: 1)
        bench.function.signal(vector: 2)
        bench.function.signal(vector: 2)
        bench.function.signal(vector: 7)
        #expect(a.taken == 1)
        #expect(b.taken == 2)
        #expect(try bench.read(0, 0x3000, 1) == [0b1000_0010])
        let c = try EventDescriptor()
        try bench.setEvents(.msix, start: 1, [c.number])
        #expect(c.taken == 1)
        try bench.setEvents(.msix, start: 7, [c.number])
        #expect(c.taken == 1)
        #expect(try bench.read(0, 0x3000, 1) == [0])
    }

    @Test("Messages need bus mastering")
    func busMaster() throws {
        let bench = try openExpress()
        bench.setConfig(4, 2, 3)
        let event = try EventDescriptor()
        try bench.setEvents(.msix, [event.number])
        bench.function.signal(vector: 0)
        #expect(event.taken == 0)
        bench.setConfig(4, 2, 7)
        #expect(event.taken == 1)
    }

    @Test("Replacing an eventfd takes effect at once, removing one too")
    func replace() throws {
        let bench = try openExpress()
        let (a, b) = (try PCIEvent(), try PCIEvent())
        try bench.setEvents(.msix, [a.number])
        try bench.setEvents(.msix, [b.number])
        bench.function.signal(vector: 0)
        #expect(a.taken == 0 && b.taken == 1)
        try bench.setEvents(.msix, [-2])
        bench.function.signal(vector: 0)
        #expect(b.taken == 0)
        #expect(bench.driver.interrupts.kind == .msix)
    }

    @Test("Loopback signals the vectors that have an eventfd")
    func loopback() throws {
        let bench = try openExpress()
        let (a, b) = (try PCIEvent(), try PCIEvent())
        #expect(errno { try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 2) } == .invalid)
        try bench.setEvents(.msix, [a.number, -1, b.number])
        try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 8)
        #expect(a.taken == 1 && b.taken == 1)
        try bench.setIRQs(.msix, [.dataBool, .actionTrigger], start: 1, count: 2, data: [1, 1])
        #expect(a.taken == 0 && b.taken == 1)
        try bench.setIRQs(.msix, [.dataBool, .actionTrigger], count: 3, data: [0, 1, 0])
        #expect(a.taken == 0 && b.taken == 0)
    }

    @Test("Only one kind is in use at a time, and only the one in use can be disabled")
    func oneKind() throws {
        let bench = try openExpress()
        let event = try EventDescriptor()
        let off: IRQSetFlags = [.dataNone, .actionTrigger]
        for index in [PCIInterrupt.intx, .msi, .msix] {
            #expect(errno { try bench.setIRQs(index, off, count: 0) } == .invalid)
        }
        try bench.setEvents(.msi, [event.number])
        #expect(errno { try bench.setEvents(.msix, [event.number]) } == .invalid)
        #expect(errno { try bench.setEvents(.intx, [event.number]) } == .invalid)
        #expect(errno { try bench.setIRQs(.msix, off, count: 0) } == .invalid)
        try bench.setIRQs(.msi, off, count: 0)
        try bench.setEvents(.intx, [event.number])
        #expect(errno { try bench.setEvents(.msi, [event.number]) } == .invalid)
        try bench.setIRQs(.intx, off, count: 0)
        try bench.setEvents(.msix, [event.number])
        // NONE with count 0 disables whatever its start.
        try bench.setIRQs(.msix, off, start: 1, count: 0)
        #expect(bench.driver.interrupts.kind == .none)
    }

    @Test("Nothing to enable is ERANGE, an empty change to what is enabled is nothing")
    func empty() throws {
        let bench = try openExpress()
        #expect(errno { try bench.setEvents(.msix, []) } == .outOfRange)
        try bench.setEvents(.msix, start: 1, [])
        #expect(bench.driver.interrupts.kind == .msix)
        #expect(try bench.setEvents(.msix, []) == 0)
    }

    @Test("A first set that fails enables nothing")
    func failedEnable() throws {
        let bench = try openExpress()
        let event = try EventDescriptor()
        #expect(errno { try bench.setEvents(.msix, [event.number, 9999]) } == .badDescriptor)
        #expect(bench.driver.interrupts.kind == .none)
        #expect(bench.function.msix?.isEnabled == false)
        let file = try MemoryFile.create("not an eventfd", byteCount: 0)
        #expect(errno { try bench.setEvents(.msi, [event.number, file.number]) } == .invalid)
        #expect(bench.function.msi?.isEnabled == false)
    }

    @Test("A later set that fails removes the vectors up to the failing one and leaves the others")
    func failedChange() throws {
        let bench = try openExpress()
        let events = try (0..<4).map { _ in try PCIEvent() }
        try bench.setEvents(.msix, events.map(\.number))
        let change = [events[1].number, events[2].number, 9999, events[0].number]
        #expect(errno { try bench.setEvents(.msix, start: 0, change) } == .badDescriptor)
        try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 4)
        #expect(events.map(\.taken) == [0, 0, 0, 1])
    }

    @Test("Without dynamic vectors, and with MSI, the set can't grow")
    func growing() throws {
        let event = try EventDescriptor()
        let fixed = try openExpress(dynamic: false)
        try fixed.setEvents(.msix, [event.number])
        #expect(errno { try fixed.setEvents(.msix, start: 1, [event.number]) } == .invalid)
        try fixed.setEvents(.msix, start: 1, [-1])
        fixed.function.signal(vector: 0)
        #expect(event.taken == 1)
        let bench = try openExpress()
        try bench.setEvents(.msi, [event.number])
        #expect(errno { try bench.setEvents(.msi, start: 1, [event.number]) } == .invalid)
    }

    @Test("MSI vectors reach their eventfds; those not asked for arrive as the first")
    func msi() throws {
        let bench = try openExpress()
        let (a, b) = (try PCIEvent(), try PCIEvent())
        try bench.setEvents(.msi, [a.number, b.number])
        bench.function.signal(vector: 1)
        #expect(b.taken == 1)
        bench.function.signal(vector: 3)
        #expect(a.taken == 1)
    }

    @Test("A message that can't be masked is kept for its vector's first eventfd, and lost later")
    func keptMessage() throws {
        let function = PCIFunction(
            PCIIdentity(vendor: 0x1234, device: 0x5678, classCode: 0xff_0000), bars: [:])
        function.addMSI(vectors: 2, hasMasks: false)
        let bench = Bench(TestDevice(function))
        try bench.driver.openDevice()
        bench.setConfig(4, 2, 4)
        let event = try EventDescriptor()
        try bench.setEvents(.msi, [-1, event.number])
        function.signal(vector: 0)
        function.signal(vector: 0)
        try bench.setEvents(.msi, [event.number])
        #expect(event.taken == 1)
        try bench.setEvents(.msi, [-1, -1])
        function.signal(vector: 0)
        function.signal(vector: 1)
        try bench.setEvents(.msi, [event.number, event.number])
        #expect(event.taken == 0)
        try bench.setIRQs(.msi, [.dataNone, .actionTrigger], count: 0)
        try bench.setEvents(.msi, [-1])
        function.signal(vector: 0)
        try bench.setIRQs(.msi, [.dataNone, .actionTrigger], count: 0)
        try bench.setEvents(.msi, [event.number])
        #expect(event.taken == 0)
    }

    @Test("The line is masked when it fires and fires again when it is unmasked while asserted")
    func line() throws {
        let bench = try openConventional()
        let event = try EventDescriptor()
        try bench.setEvents(.intx, [event.number])
        bench.function.setLine(true)
        #expect(event.taken == 1)
        bench.function.setLine(false)
        bench.function.setLine(true)
        #expect(event.taken == 0)
        try bench.setIRQs(.intx, [.dataNone, .actionUnmask], count: 1)
        #expect(event.taken == 1)
        bench.function.setLine(false)
        try bench.setIRQs(.intx, [.dataBool, .actionUnmask], count: 1, data: [1])
        #expect(event.taken == 0)
        bench.function.setLine(true)
        #expect(event.taken == 1)
    }

    @Test("A masked line stays silent, and what it asserted meanwhile comes with the unmasking")
    func lineMask() throws {
        let bench = try openConventional()
        let event = try EventDescriptor()
        for flags in [IRQSetFlags([.dataNone, .actionMask]), [.dataNone, .actionUnmask]] {
            #expect(errno { try bench.setIRQs(.intx, flags, count: 1) } == .invalid)
        }
        try bench.setEvents(.intx, [event.number])
        #expect(errno { try bench.setIRQs(.intx, [.dataNone, .actionMask], count: 0) } == .invalid)
        #expect(
            errno {
                try bench.setIRQs(.intx, [.dataEventFD, .actionMask], count: 1, data: Bench.bytes([-1]))
            } == .noSuchRequest)
        try bench.setIRQs(.intx, [.dataNone, .actionMask], count: 1)
        bench.function.setLine(true)
        #expect(event.taken == 0)
        try bench.setIRQs(.intx, [.dataBool, .actionUnmask], count: 1, data: [0])
        #expect(event.taken == 0)
        try bench.setIRQs(.intx, [.dataNone, .actionUnmask], count: 1)
        #expect(event.taken == 1)
    }

    @Test("Interrupt Disable in COMMAND masks the line, loopback included, and clearing it fires what waits")
    func lineDisable() throws {
        let bench = try openConventional()
        let event = try EventDescriptor()
        bench.setConfig(4, 2, 0x402)
        try bench.setEvents(.intx, [event.number])
        bench.function.setLine(true)
        try bench.setIRQs(.intx, [.dataNone, .actionTrigger], count: 1)
        try bench.setIRQs(.intx, [.dataNone, .actionUnmask], count: 1)
        #expect(event.taken == 0)
        bench.setConfig(4, 2, 2)
        #expect(event.taken == 1)
    }

    @Test("The line's eventfd can be swapped and taken away without ending its use")
    func lineSwap() throws {
        let bench = try openConventional()
        let (a, b) = (try PCIEvent(), try PCIEvent())
        #expect(errno { try bench.setIRQs(.intx, [.dataNone, .actionTrigger], count: 1) } == .invalid)
        try bench.setEvents(.intx, [-1])
        #expect(bench.driver.interrupts.kind == .line)
        #expect(errno { try bench.setEvents(.intx, [9999]) } == .badDescriptor)
        try bench.setEvents(.intx, [a.number])
        try bench.setIRQs(.intx, [.dataNone, .actionTrigger], count: 1)
        #expect(a.taken == 1)
        try bench.setEvents(.intx, [b.number])
        try bench.setIRQs(.intx, [.dataBool, .actionTrigger], count: 1, data: [1])
        #expect(a.taken == 0 && b.taken == 1)
        bench.function.setLine(true)
        #expect(b.taken == 1)
        try bench.setIRQs(.intx, [.dataNone, .actionTrigger], count: 0)
        #expect(bench.driver.interrupts.kind == .none)
    }

    @Test("A line that is asserted when it is enabled fires at once")
    func lineAsserted() throws {
        let bench = try openConventional()
        bench.function.setLine(true)
        let event = try EventDescriptor()
        try bench.setEvents(.intx, [event.number])
        #expect(event.taken == 1)
    }

    @Test("A resample eventfd unmasks the line; one at a time; it goes with the line")
    func resample() throws {
        let bench = try openConventional()
        let (event, resample) = (try PCIEvent(), try PCIEvent())
        let unmask: IRQSetFlags = [.dataEventFD, .actionUnmask]
        func attach(_ number: Int32) -> Errno? {
            errno { try bench.setIRQs(.intx, unmask, count: 1, data: Bench.bytes([number])) }
        }
        #expect(attach(resample.number) == .invalid)
        try bench.setEvents(.intx, [event.number])
        #expect(attach(9999) == .badDescriptor)
        #expect(attach(resample.number) == nil)
        #expect(attach(resample.number) == .busy)
        bench.function.setLine(true)
        #expect(event.taken == 1)
        for _ in 0..<20 {
            resample.signal()
            #expect(try event.wait(milliseconds: 10_000) == 1)
        }
        #expect(attach(-1) == nil)
        #expect(attach(resample.number) == nil)
        try bench.setIRQs(.intx, [.dataNone, .actionTrigger], count: 0)
        try bench.setEvents(.intx, [event.number])
        #expect(attach(resample.number) == nil)
        bench.driver.closeDevice()
    }

    @Test("A resample eventfd that was signalled before unmasks at once")
    func resampleEarly() throws {
        let bench = try openConventional()
        let (event, resample) = (try PCIEvent(), try PCIEvent())
        try bench.setEvents(.intx, [event.number])
        bench.function.setLine(true)
        #expect(event.taken == 1)
        resample.signal()
        try bench.setIRQs(
            .intx, [.dataEventFD, .actionUnmask], count: 1, data: Bench.bytes([resample.number]))
        #expect(try event.wait(milliseconds: 10_000) == 1)
        bench.driver.closeDevice()
    }

    @Test("A resample eventfd keeps an early count, loses a later one, and makes room once it is closed")
    func resampleCounter() throws {
        let bench = try openConventional()
        let event = try PCIEvent()
        func attach(_ number: Int32) -> Errno? {
            errno {
                try bench.setIRQs(
                    .intx, [.dataEventFD, .actionUnmask], count: 1, data: Bench.bytes([number]))
            }
        }
        try bench.setEvents(.intx, [event.number])
        do {
            let resample = try EventDescriptor()
            bench.function.setLine(true)
            #expect(event.taken == 1)
            resample.signal(3)
            #expect(attach(resample.number) == nil)
            #expect(try event.wait(milliseconds: 10_000) == 1)
            let isKept = resample.isSignalled
            #expect(isKept)
            resample.signal()
            #expect(try event.wait(milliseconds: 10_000) == 1)
            let isLost = !resample.isSignalled
            #expect(isLost)
            let copy = try Descriptor(duplicating: resample.number)
            #expect(attach(event.number) == .busy)
            try copy.close()
        }
        #expect(attach(event.number) == nil)
        bench.driver.closeDevice()
    }

    @Test(
        "Once an eventfd has been replaced it isn't signalled any more, however many threads raise interrupts"
    )
    func replacedStaysSilent() throws {
        let bench = try openExpress()
        let (a, b) = (try PCIEvent(), try PCIEvent())
        let isOver = try PCIEvent()
        nonisolated(unsafe) let shared = bench.function
        do {
            let threads = try (0..<2).map { _ in
                try WorkerThread {
                    while isOver.isSilent {
                        unsafe shared.signal(vector: 0)
                        unsafe shared.signal(vector: 1)
                    }
                }
            }
            defer {
                isOver.signal()
                withExtendedLifetime(threads) {}
            }
            for round in 0..<300 {
                let (now, before) = round % 2 == 0 ? (a, b) : (b, a)
                try bench.setEvents(.msix, [now.number, round % 3 == 0 ? -1 : now.number])
                _ = before.taken
                for _ in 0..<20 { _ = try bench.write(0, 0, [1]) }
                #expect(before.isSilent)
                if round % 5 == 0 {
                    try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 0)
                    _ = now.taken
                    for _ in 0..<20 { _ = try bench.write(0, 0, [1]) }
                    #expect(now.isSilent)
                }
            }
        }
        bench.driver.closeDevice()
    }

    @Test("Where the platform has fewer vectors than asked for, the answer is their number")
    func shortage() throws {
        let bench = try openExpress()
        let event = try EventDescriptor()
        bench.driver.vectorLimit = 2
        let three = [event.number, event.number, event.number]
        #expect(try bench.setEvents(.msix, three) == 2)
        #expect(bench.driver.interrupts.kind == .none)
        #expect(try bench.setEvents(.msi, three) == 2)
        bench.driver.vectorLimit = 0
        #expect(errno { try bench.setEvents(.msix, [event.number]) } == .noSpace)
        bench.driver.vectorLimit = nil
        #expect(try bench.setEvents(.msix, three) == 0)
    }

    @Test("Messages are taken into use in D0 only, and go on in D3hot; the line doesn't care")
    func powerStates() throws {
        let bench = try openExpress()
        let event = try EventDescriptor()
        let power = try #require(bench.function.configuration.capability(1))
        bench.setConfig(power + 4, 2, 3)
        for index in [PCIInterrupt.msi, .msix] {
            #expect(errno { try bench.setEvents(index, []) } == .outOfRange)
            #expect(errno { try bench.setEvents(index, [event.number]) } == .invalid)
        }
        try bench.setEvents(.intx, [event.number])
        try bench.setIRQs(.intx, [.dataNone, .actionTrigger], count: 0)
        bench.setConfig(power + 4, 2, 0)
        try bench.setEvents(.msix, [event.number])
        bench.setConfig(power + 4, 2, 3)
        try bench.setEvents(.msix, start: 1, [event.number])
        try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 2)
        #expect(event.taken == 2)
        try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 0)
    }

    @Test("Errors and requests to give the device back have eventfds of their own")
    func notices() throws {
        let bench = try openExpress()
        for index in [PCIInterrupt.err, .req] {
            let event = try EventDescriptor()
            let none: IRQSetFlags = [.dataNone, .actionTrigger]
            let bool: IRQSetFlags = [.dataBool, .actionTrigger]
            #expect(errno { try bench.setIRQs(index, none, count: 1) } == .invalid)
            #expect(errno { try bench.setIRQs(index, none, count: 0) } == .invalid)
            #expect(try bench.setIRQs(index, bool, count: 1, data: [1]) == 0)
            #expect(errno { try bench.setIRQs(index, bool, count: 0) } == .invalid)
            #expect(try bench.setEvents(index, [-1]) == 0)
            #expect(errno { try bench.setEvents(index, [-2]) } == .invalid)
            #expect(errno { try bench.setEvents(index, []) } == .invalid)
            #expect(errno { try bench.setEvents(index, [9999]) } == .badDescriptor)
            try bench.setEvents(index, [event.number])
            try bench.setIRQs(index, none, count: 1)
            try bench.setIRQs(index, bool, count: 1, data: [1])
            try bench.setIRQs(index, bool, count: 1, data: [0])
            #expect(event.taken == 2)
            #expect(index == .err ? bench.driver.reportError() : bench.driver.requestRelease())
            #expect(event.taken == 1)
            try bench.setIRQs(index, none, count: 0)
            #expect(errno { try bench.setIRQs(index, none, count: 1) } == .invalid)
        }
        #expect(!bench.driver.reportError())
    }

    @Test("An interrupt raised within a register access arrives, and so do those of a device's own thread")
    func inline() throws {
        let bench = try openExpress()
        let event = try EventDescriptor()
        try bench.setEvents(.msix, [event.number])
        let function = bench.function
        bench.device.onWrite = { _ in function.signal(vector: 0) }
        _ = try bench.write(0, 0, [1, 0, 0, 0])
        #expect(event.taken == 1)

        let other = try EventDescriptor()
        nonisolated(unsafe) let shared = function
        do {
            let thread = try WorkerThread { for _ in 0..<2000 { unsafe shared.signal(vector: 1) } }
            for round in 0..<200 {
                try bench.setEvents(.msix, start: 1, [round % 2 == 0 ? other.number : -1])
                _ = try bench.write(0, 8, [1])
            }
            withExtendedLifetime(thread) {}
        }
        try bench.setEvents(.msix, start: 1, [other.number])
        _ = other.taken
        function.signal(vector: 1)
        #expect(other.taken >= 1)
    }

    @Test("Random requests never trap, and whatever they did can be undone")
    func fuzz() throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("SET_IRQS fuzz seed: \(seed)")
        var random = SplitMix(state: seed)
        let event = try EventDescriptor()
        for bench in [try openExpress(), try openConventional()] {
            for _ in 0..<5000 {
                let numbers = (0..<Int(random.next() % 9)).map { _ in
                    [event.number, -1, -2, 9999, event.number][Int(random.next() % 5)]
                }
                let words = [0, 1, 2, 8, 0xffff_fffe, UInt32.max]
                let isWild = random.next() % 4 == 0
                let data = UInt32(1) << UInt32(random.next() % 3)
                let action = UInt32(8) << UInt32(random.next() % 3)
                let flags = IRQSetFlags(rawValue: isWild ? UInt32(random.next() % 128) : data | action)
                _ = errno {
                    try bench.setIRQs(
                        PCIInterrupt(rawValue: UInt32(random.next() % 6)),
                        flags,
                        start: isWild ? words[Int(random.next() % 6)] : UInt32(random.next() % 4),
                        count: isWild ? words[Int(random.next() % 6)] : UInt32(numbers.count),
                        data: Bench.bytes(numbers))
                }
                bench.function.setLine(random.next() % 2 == 0)
                bench.function.signal(vector: Int(random.next() % 10) - 1)
            }
            bench.driver.closeDevice()
            try bench.driver.openDevice()
            bench.setConfig(4, 2, 7)
            bench.function.setLine(false)
            try bench.setEvents(.intx, [event.number])
            _ = event.taken
            bench.function.setLine(true)
            #expect(event.taken == 1)
            bench.driver.closeDevice()
        }
    }

    @Test(
        "Accesses, interrupts, resets, mappings and attachments from many threads keep out of each other's way"
    )
    func concurrency() throws {
        let bench = try openExpress()
        let event = try PCIEvent()
        let space = TestSpace()
        nonisolated(unsafe) let shared = bench
        do {
            let threads = [
                try WorkerThread {
                    for round in 0..<300 {
                        _ = errno { try unsafe shared.write(0, UInt64(round % 16) * 4, [1, 2, 3, 4]) }
                    }
                },
                try WorkerThread {
                    for round in 0..<300 {
                        unsafe shared.function.signal(vector: round % 8)
                        unsafe shared.function.setLine(round % 2 == 0)
                        _ = try? unsafe shared.function.dma?.store(UInt64(round), to: IOVA(space.base))
                    }
                },
                try WorkerThread {
                    for round in 0..<100 {
                        _ = errno { try unsafe shared.setEvents(.msix, [event.number, -1, event.number]) }
                        if round % 3 == 0 {
                            _ = errno {
                                try unsafe shared.setIRQs(.msix, [.dataNone, .actionTrigger], count: 0)
                            }
                        }
                    }
                },
                try WorkerThread {
                    for round in 0..<100 {
                        unsafe shared.setConfig(4, 2, round % 2 == 0 ? 7 : 1)
                        unsafe shared.driver.attach(to: round % 3 == 0 ? nil : space)
                        if let window = try? unsafe shared.driver.map(
                            at: 2 << 40, byteCount: 4096, protection: .read)
                        {
                            unsafe shared.driver.unmap(window)
                        }
                        if round % 10 == 0 {
                            _ = errno {
                                try unsafe shared.driver.control(UInt32(Request.deviceReset.rawValue), 0)
                            }
                        }
                    }
                },
            ]
            withExtendedLifetime(threads) {}
        }
        bench.setConfig(4, 2, 7)
        _ = event.taken
        try bench.setEvents(.msix, [event.number])
        _ = event.taken
        bench.function.signal(vector: 0)
        #expect(event.taken == 1)
        bench.driver.closeDevice()
    }

    @Test("Interrupts end with the last close")
    func close() throws {
        let bench = try openExpress()
        let event = try EventDescriptor()
        try bench.setEvents(.msix, [event.number])
        try bench.setEvents(.req, [event.number])
        bench.driver.closeDevice()
        bench.function.signal(vector: 0)
        #expect(!bench.driver.requestRelease())
        #expect(event.taken == 0)
    }

    @Test("An eventfd that waits and is full doesn't hold up the device")
    func fullEvent() throws {
        let bench = try openExpress()
        let event = try PCIEvent()
        event.fill()
        #expect(fcntl(event.number, F_SETFL, 0) == 0)
        try bench.setEvents(.msix, [event.number])
        bench.function.signal(vector: 0)
        try bench.setIRQs(.msix, [.dataNone, .actionTrigger], count: 1)
    }
}

/// An eventfd that an array can hold.
final class PCIEvent: Sendable {
    private let event: EventDescriptor
    var number: Int32 { event.number }
    var taken: UInt64 { event.taken }
    init() throws(Errno) { event = try EventDescriptor() }
    var isSilent: Bool { !event.isSignalled }
    func signal() { event.signal() }
    /// Brings the counter to its highest value, where a further write may wait.
    func fill() { event.signal(.max - 1) }
    func wait(milliseconds: Int) throws(Errno) -> UInt64? { try event.wait(milliseconds: milliseconds) }
}
