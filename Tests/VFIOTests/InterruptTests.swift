import HostTestSupport
import LinuxSystem
import SoftwareHost
import Testing
import VFIO
import VFIOABI
import VFIOHost

@Suite("Interrupts")
struct InterruptTests {
    private func open(_ host: FaultyHost) throws -> Device { try Device(opening: benchAddress, on: host) }

    @Test("kinds tell how many vectors they have")
    func info() throws {
        let device = try open(try machine())
        let msix = try device.interruptInfo(.msix)
        #expect(msix.count == 4)
        #expect(msix.signalsEvents)
        #expect(msix.isMaskable == false)
        let line = try device.interruptInfo(.intx)
        #expect(line.count == 1)
        #expect(line.isMaskable && line.masksItself)
        #expect(try device.interruptInfo(.msi).count == 2)
        #expect(try device.interruptInfo(77).count == 0)
    }

    @Test("arrive at their own vector, and are counted")
    func arrive() throws {
        let device = try open(try machine())
        let interrupts = try device.enableInterrupts(.msix, count: 4)
        #expect(interrupts.count == 4)
        #expect(try interrupts.wait(1, milliseconds: 0) == nil)
        try interrupts.trigger(1)
        try interrupts.trigger(1)
        #expect(try interrupts.wait(1, milliseconds: 10_000) == 2)
        #expect(try interrupts.take(1) == 0)
        #expect(try interrupts.take(0) == 0)
        #expect(interrupts.descriptor(3) >= 0)
        #expect(interrupts.descriptor(4) == -1)
        #expect(interrupts.descriptor(-1) == -1)
    }

    @Test("vectors that aren't enabled are refused")
    func outOfBounds() throws {
        let interrupts = try open(try machine()).enableInterrupts(.msix, count: 2)
        for vector in [-1, 2] {
            do throws(VFIOError) {
                try interrupts.trigger(vector)
                Issue.record("vector \(vector) was accepted")
            } catch {
                #expect(error.code == .outOfBounds)
                #expect(error.says("2 vectors are enabled"))
            }
        }
    }

    @Test("more than there are is an error that names how many there are")
    func tooMany() throws {
        let device = try open(try machine())
        let error = failure { () throws(VFIOError) in try device.enableInterrupts(.msix, count: 5).disable() }
        #expect(error?.code == .tooFewVectors)
        #expect(error?.says("only 4 of the 5 vectors are available", "ask for 4") == true)
        let none = failure { () throws(VFIOError) in try device.enableInterrupts(77, count: 1).disable() }
        #expect(none?.says("the device has no interrupt index 77") == true)
        let zero = failure { () throws(VFIOError) in try device.enableInterrupts(.msix, count: 0).disable() }
        #expect(zero?.code == .outOfBounds)
    }

    @Test("kinds exclude one another until they are disabled")
    func exclusive() throws {
        let device = try open(try machine())
        do {
            let first = try device.enableInterrupts(.msix, count: 1)
            let again = failure { () throws(VFIOError) in
                try device.enableInterrupts(.msix, count: 1).disable()
            }
            #expect(again?.says("MSI-X is enabled already") == true)
            let other = failure { () throws(VFIOError) in
                try device.enableInterrupts(.msi, count: 1).disable()
            }
            #expect(other?.code == .busy)
            #expect(other?.says("MSI-X is enabled, which excludes MSI", "disable MSI-X first") == true)
            #expect(first.count == 1)
        }
        // Gone with its scope.
        let next = try device.enableInterrupts(.msi, count: 2)
        try next.trigger(0)
        #expect(try next.take(0) == 1)
        let request = try device.enableInterrupts(.request, count: 1)
        try request.trigger(0)
        #expect(try request.take(0) == 1)
    }

    @Test("are disabled with no vectors, which signals nobody")
    func disabling() throws {
        let host = try machine()
        let device = try open(host)
        let interrupts = try device.enableInterrupts(.msix, count: 2)
        var seen: [IRQSet] = []
        let box = Box()
        host.answer(.deviceSetIRQs) { argument in
            if let set = try? UserMemory.load(IRQSet(), from: HostAddress(rawValue: argument)) {
                box.sets.append(set)
            }
            return nil
        }
        try interrupts.disable()
        seen = box.sets
        #expect(seen.count == 1)
        #expect(seen.first?.flags == [.dataNone, .actionTrigger])
        #expect(seen.first?.count == 0)
        #expect(seen.first?.start == 0)
        #expect(seen.first?.index == 2)
    }

    @Test("the line is masked and unmasked; messages can't be")
    func masking() throws {
        let device = try open(try machine())
        do {
            let line = try device.enableInterrupts(.intx, count: 1)
            try line.mask()
            try line.unmask()
            try line.trigger(0)
            #expect(try line.wait(0, milliseconds: 10_000) == 1)
        }
        let messages = try device.enableInterrupts(.msi, count: 1)
        do throws(VFIOError) {
            try messages.mask()
            Issue.record("MSI was masked")
        } catch {
            #expect(error.code == .notSupported)
            #expect(error.says("MSI can't be masked"))
        }
    }

    @Test("are an asynchronous sequence that ends when they are disabled")
    func events() async throws {
        let device = try open(try machine())
        let interrupts = try device.enableInterrupts(.msix, count: 2)
        let events = try interrupts.events(1)
        let consumer = Task {
            var total: UInt64 = 0
            for await count in events { total += count }
            return total
        }
        var iterator = try interrupts.events(0).makeAsyncIterator()
        try interrupts.trigger(0)
        #expect(await iterator.next() == 1)
        try interrupts.trigger(1)
        try interrupts.trigger(1)
        while try !drained(interrupts) { await Task.yield() }
        try interrupts.disable()
        let total = await consumer.value
        #expect(total <= 2)
        #expect(await iterator.next() == nil)
    }

    /// Whether the watcher has taken what was signalled for vector 1.
    private func drained(_ interrupts: borrowing Interrupts) throws -> Bool {
        let number = interrupts.descriptor(1)
        var poller = [Poller.Event]()
        let set = try Poller()
        try set.add(number, .readable, tag: 1)
        return try set.wait(into: &poller, milliseconds: 0) == 0
    }

    @Test("a task that is cancelled stops waiting, and others go on")
    func cancellation() async throws {
        let device = try open(try machine())
        let interrupts = try device.enableInterrupts(.msix, count: 1)
        let events = try interrupts.events(0)
        let waiting = Task { () -> UInt64? in
            var iterator = events.makeAsyncIterator()
            return await iterator.next()
        }
        waiting.cancel()
        #expect(await waiting.value == nil)
        try interrupts.trigger(0)
        var iterator = events.makeAsyncIterator()
        #expect(await iterator.next() == 1)
    }

    @Test("a reset leaves the device usable")
    func reset() throws {
        let device = try open(try machine())
        #expect(device.canReset)
        let region = try device.region(.bar0)
        try region.store32(0, 77)
        try device.reset()
        #expect(try region.load32(0) == 0)
    }

    /// Collects requests from a closure.
    private final class Box: @unchecked Sendable { var sets: [IRQSet] = [] }
}
