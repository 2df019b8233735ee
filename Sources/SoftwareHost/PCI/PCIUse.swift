import DeviceModel
import LinuxSystem

/// A sleeping device wakes up for as long as it is used (kernel.md D.11). For the core.
extension PCIBusDriver {
    func beginUse() {
        lock.lock()
        useCount += 1
        if sleepsWhenUnused { wake() }
        lock.unlock()
    }

    func endUse() {
        lock.lock()
        useCount -= 1
        if sleepsWhenUnused { fallAsleep() }
        lock.unlock()
    }
}
