import DeviceModel
import LinuxSystem
import VFIOHost

/// What an administrator, the platform and the device itself can do to a PCI device, besides its user. All of
/// it throws `ENODEV` for an address without a device that is bound to vfio-pci.
extension SoftwareHost {
    private func pciDriver(of address: PCIAddress) throws(Errno) -> PCIBusDriver {
        let driver = core.lock.withLock {
            core.devices.first { $0.address == address }?.bus?.pci
        }
        guard let driver else { throw .noDevice }
        return driver
    }

    /// The ways in which a device would be reset, in the order in which they are tried: sysfs's `reset_method`.
    /// - Throws: `ENODEV`.
    public func resetMethods(of address: PCIAddress) throws(Errno) -> [PCIResetMethod] {
        try pciDriver(of: address).resetMethods
    }

    /// Chooses the ways in which a device may be reset, and their order; none for a device that can't be reset
    /// any more, nil for the usual ones. It takes effect at once, and lasts when the driver changes.
    /// - Throws: `ENODEV`; `EINVAL` for a way that the device doesn't offer, and for more than seven: nothing
    ///   changes then.
    public func setResetMethods(_ methods: [PCIResetMethod]?, of address: PCIAddress) throws(Errno) {
        let driver = try pciDriver(of: address)
        try driver.lock.withLock { () throws(Errno) in
            if let methods {
                guard methods.count <= PCIResetMethod.allCases.count else { throw .invalid }
                for method in methods where !driver.offers(method) { throw .invalid }
            }
            driver.resetPolicy.methods = methods
        }
    }

    /// The same with the text that is written to sysfs's `reset_method`: names with spaces between them,
    /// "default" for the usual ways, nothing for none.
    /// - Throws: `ENODEV`; `EINVAL` also for a word that isn't the name of a way.
    public func setResetMethods(text: String, of address: PCIAddress) throws(Errno) {
        var words: [String] = []
        for word in text.utf8.split(whereSeparator: { $0 == 0x20 || $0 == 0x0a }) {
            words.append(String(decoding: word, as: UTF8.self))
        }
        if words.count == 1, words[0].utf8.elementsEqual("default".utf8) {
            return try setResetMethods(nil, of: address)
        }
        var methods: [PCIResetMethod] = []
        for word in words {
            guard let method = PCIResetMethod(name: word) else { throw .invalid }
            methods.append(method)
        }
        try setResetMethods(methods, of: address)
    }

    /// Resets a device behind its user's back, as a write of 1 to sysfs's `reset` does. Its registers of
    /// configuration space and its interrupts are put back after it; whoever has it open isn't told.
    ///
    /// A user's own reset that comes at the same time is refused with `EAGAIN`.
    /// - Throws: `ENODEV`; `ENOTTY` if there is no way to do it.
    public func reset(_ address: PCIAddress) throws(Errno) {
        let driver = try pciDriver(of: address)
        // An administrator waits for a reset that is under way.
        while !driver.resetPolicy.take() { Clock.sleep(nanoseconds: 1_000_000) }
        defer { driver.resetPolicy.giveBack() }
        try driver.lock.withLock { () throws(Errno) in
            let methods = driver.resetMethods
            driver.wake()
            defer { driver.fallAsleep() }
            try driver.climb(methods)
        }
    }

    /// Wakes a device that its user allowed to sleep (`LOW_POWER_ENTRY`), as the host's own use of it or a
    /// Power Management Event does: a user who asked for it is told, and sleep is no longer allowed then. A
    /// device that isn't asleep isn't touched.
    /// - Throws: `ENODEV`.
    public func wake(_ address: PCIAddress) throws(Errno) {
        let driver = try pciDriver(of: address)
        driver.beginUse()
        driver.endUse()
    }

    /// Reports an uncorrectable error of a device, as PCI Express's error reporting does: its user is told
    /// through `VFIO_PCI_ERR_IRQ_INDEX`.
    /// - Returns: whether the user had an eventfd for it.
    /// - Throws: `ENODEV`.
    @discardableResult
    public func reportError(of address: PCIAddress) throws(Errno) -> Bool {
        try pciDriver(of: address).reportError()
    }

    /// Limits how many message-signalled interrupts the platform grants to a device from now on; nil for as
    /// many as it has. A user who asks for more gets the number as answer, and no interrupts; with 0, `ENOSPC`.
    /// - Parameter count: 0 or more.
    /// - Throws: `ENODEV`; `EINVAL` for a count below 0.
    public func setVectorLimit(_ count: Int?, of address: PCIAddress) throws(Errno) {
        if let count, count < 0 { throw .invalid }
        let driver = try pciDriver(of: address)
        driver.lock.withLock { driver.vectorLimit = count }
    }
}
