/// The registers of configuration space that a reset loses and that a kernel puts back: addresses, COMMAND and
/// the controls of the capabilities that it knows.
package struct PCISavedState {
    private var header: InlineArray<16, UInt32> = .init(repeating: 0)
    /// Places and values of 16-bit controls.
    private var controls: [(at: Int, value: UInt32)] = []
    /// Places and values of 32-bit masks.
    private var masks: [(at: Int, value: UInt32)] = []

    /// Reads them from the hardware.
    package init<Registers: PCIRegisters>(_ hardware: Registers) throws(Registers.Failure) {
        for index in 0..<16 { header[index] = try hardware.value(at: 4 * index, width: 4) }
        if let express = try hardware.place(ofCapability: PCICapabilityID.Standard.express) {
            // Device, Link, Device 2 and Link 2 Control.
            for offset in [0x08, 0x10, 0x28, 0x30] {
                let at = express + offset
                guard at < 0x100 else { continue }
                controls.append((at, try hardware.value(at: at, width: 2)))
            }
        }
        if let pciX = try hardware.place(ofCapability: PCICapabilityID.Standard.pciX) {
            controls.append((pciX + 2, try hardware.value(at: pciX + 2, width: 2)))
        }
        if let virtualization = try hardware.place(
            ofExtendedCapability: PCICapabilityID.Extended.virtualization)
        {
            typealias Register = PCIFunction.VirtualizationRegister
            for index in 0..<6 {
                let at = virtualization + Register.bar0 + 4 * index
                masks.append((at, try hardware.value(at: at, width: 4)))
            }
            // How many there are goes before their being enabled.
            for offset in [Register.count, Register.control] {
                controls.append(
                    (virtualization + offset, try hardware.value(at: virtualization + offset, width: 2)))
            }
        }
        if let errors = try hardware.place(ofExtendedCapability: PCICapabilityID.Extended.errorReporting) {
            // Uncorrectable mask and severity, correctable mask, control.
            for offset in [0x08, 0x0c, 0x14, 0x18] {
                masks.append((errors + offset, try hardware.value(at: errors + offset, width: 4)))
            }
        }
    }

    /// Writes them back, COMMAND last.
    package func restore<Registers: PCIWritableRegisters>(
        to hardware: Registers
    ) throws(Registers.Failure) {
        for control in controls { try hardware.set(control.value, at: control.at, width: 2) }
        for mask in masks { try hardware.set(mask.value, at: mask.at, width: 4) }
        for index in (2..<16).reversed() { try hardware.set(header[index], at: 4 * index, width: 4) }
        try hardware.set(header[1] & 0xffff, at: 4, width: 2)
    }
}
