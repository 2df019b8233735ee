import DeviceModel
import LinuxSystem

/// How vfio-platform resets one kind of devices: through their registers, by a handler that was registered for what
/// the device is compatible with (kernel.md G.1).
public struct PlatformResetHandler {
    /// What the devices are compatible with: the first, most exact word of theirs.
    public let compatible: String
    /// Resets a device.
    /// - Throws: what `VFIO_DEVICE_RESET`, or opening the device, then answers.
    public let reset: (PlatformRegisters) throws(Errno) -> Void

    /// A handler for devices of a kind.
    public init(for compatible: String, _ reset: @escaping (PlatformRegisters) throws(Errno) -> Void) {
        self.compatible = compatible
        self.reset = reset
    }

    /// The handlers that Linux has.
    public static var linux: [PlatformResetHandler] { [calxedaXGMAC, amdXGBE, broadcomFlexRM] }

    /// Calxeda's network controller: no interrupts, transmission and reception stop. The rest stays as it is.
    public static var calxedaXGMAC: PlatformResetHandler {
        PlatformResetHandler(for: "calxeda,hb-xgmac") { (registers) throws(Errno) in
            let control: UInt64 = 0
            let dmaControl: UInt64 = 0xf18
            let interruptEnable: UInt64 = 0xf1c
            registers.store(0, at: interruptEnable)
            // Start of transmission, start of reception.
            registers.change(clear: 0x2000 | 0x2, at: dmaControl)
            // Transmitter, receiver.
            registers.change(clear: 0x8 | 0x4, at: control)
        }
    }

    /// AMD's network controller of the Seattle processors: its PHY is reset, autonegotiation ends, the MAC is
    /// reset. One that doesn't get ready is only a warning in Linux's log, and so no error.
    public static var amdXGBE: PlatformResetHandler {
        PlatformResetHandler(for: "amd,xgbe-seattle-v1a") { (registers) throws(Errno) in
            let physical = ManagedDevice(registers, region: 1)
            let codingSublayer: UInt32 = 3
            let negotiation: UInt32 = 7
            let control: UInt32 = 0
            let softReset: UInt32 = 0x8000
            physical.store(
                physical.load(codingSublayer, control) | softReset, codingSublayer, control)
            _ = registers.wait(times: 50, microseconds: 20_000) {
                physical.load(codingSublayer, control) & softReset == 0
            }
            physical.store(physical.load(negotiation, control) & ~0x1000, negotiation, control)
            let interruptMask: UInt32 = 0x8001
            let interrupt: UInt32 = 0x8002
            physical.store(0, negotiation, interruptMask)
            physical.store(0, negotiation, interrupt)
            let dmaMode: UInt64 = 0x3000
            registers.store(registers.load(at: dmaMode) | 1, at: dmaMode)
            _ = registers.wait(times: 2000, microseconds: 500) { registers.load(at: dmaMode) & 1 == 0 }
        }
    }

    /// Broadcom's ring manager: every ring is disabled and flushed. The last error counts, after all rings have
    /// been tried.
    public static var broadcomFlexRM: PlatformResetHandler {
        PlatformResetHandler(for: "brcm,iproc-flexrm-mbox") { (registers) throws(Errno) in
            let ringByteCount: UInt64 = 0x10000
            var failure: Errno?
            var ring: UInt64 = 0
            while ring < registers.byteCount(ofRegion: 0) {
                defer { ring += ringByteCount }
                // "v001"
                guard registers.load(at: ring) == 0x7630_3031 else { continue }
                let control = ring + 0x34
                let flushDone = ring + 0x38
                registers.store(0, at: control)
                registers.store(1 << 5, at: control)
                guard
                    registers.wait(
                        times: 1000, microseconds: 1000, until: { registers.load(at: flushDone) & 1 != 0 })
                else {
                    failure = .timedOut
                    continue
                }
                registers.store(0, at: control)
                if !registers.wait(
                    times: 1000, microseconds: 1000, until: { registers.load(at: flushDone) & 1 == 0 })
                {
                    failure = .timedOut
                }
            }
            if let failure { throw failure }
        }
    }

    /// Registers of a managed device behind a window: a page is chosen, then the register is in the window.
    private struct ManagedDevice {
        let registers: PlatformRegisters
        let region: Int

        init(_ registers: PlatformRegisters, region: Int) {
            self.registers = registers
            self.region = region
        }

        /// Chooses the page of a register.
        /// - Returns: where in the window the register is.
        private func select(_ device: UInt32, _ register: UInt32) -> UInt64 {
            let address = device << 16 | register
            registers.store(address >> 8, at: 0xff << 2, region: region)
            return UInt64(address & 0xff) << 2
        }

        func load(_ device: UInt32, _ register: UInt32) -> UInt32 {
            let place = select(device, register)
            return registers.load(at: place, region: region)
        }

        func store(_ value: UInt32, _ device: UInt32, _ register: UInt32) {
            let place = select(device, register)
            registers.store(value, at: place, region: region)
        }
    }
}

/// A device's registers, for a reset handler. Valid during the reset.
public final class PlatformRegisters {
    private let model: any BusDeviceModel

    init(_ model: any BusDeviceModel) { self.model = model }

    /// How long a region is, in bytes; 0 for one that doesn't exist.
    public func byteCount(ofRegion region: Int) -> UInt64 {
        let regions = model.resources.regions
        return regions.indices.contains(region) ? regions[region].byteCount : 0
    }

    /// Reads a register of 32 bits; all ones where there is none.
    public func load(at offset: UInt64, region: Int = 0) -> UInt32 {
        guard offset % 4 == 0 else { return .max }
        return UInt32(truncatingIfNeeded: model.loadRegion(region, offset: offset, width: 4))
    }

    /// Writes a register of 32 bits; nothing happens where there is none.
    public func store(_ value: UInt32, at offset: UInt64, region: Int = 0) {
        guard offset % 4 == 0 else { return }
        model.storeRegion(region, offset: offset, width: 4, value: UInt64(value))
    }

    /// Clears bits of a register of 32 bits.
    public func change(clear bits: UInt32, at offset: UInt64, region: Int = 0) {
        store(load(at: offset, region: region) & ~bits, at: offset, region: region)
    }

    /// Looks at something again and again, at intervals.
    /// - Parameters:
    ///   - times: how often.
    ///   - microseconds: how long to wait in between; hardware takes its time, a model mostly doesn't.
    /// - Returns: whether it came true.
    public func wait(times: Int, microseconds: UInt64, until isDone: () -> Bool) -> Bool {
        for attempt in 0..<times {
            if attempt > 0 { Clock.sleep(nanoseconds: microseconds * 1000) }
            if isDone() { return true }
        }
        return false
    }
}
