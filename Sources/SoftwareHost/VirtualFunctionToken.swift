import DeviceModel
import LinuxSystem

/// What the users of a physical function and of its virtual functions show to prove that they trust each other:
/// a UUID (kernel.md A.8).
struct VirtualFunctionToken: Equatable {
    /// The 16 bytes, in the order of memory and of the text.
    var words: InlineArray<2, UInt64>

    static func == (a: Self, b: Self) -> Bool { a.words[0] == b.words[0] && a.words[1] == b.words[1] }

    /// A token that nobody knows.
    static func random() throws(Errno) -> VirtualFunctionToken {
        VirtualFunctionToken(words: [try RandomNumber.bits64(), try RandomNumber.bits64()])
    }

    /// The token at an address of the process.
    /// - Throws: `EFAULT`
    static func load(from address: HostAddress) throws(Errno) -> VirtualFunctionToken {
        let first = try UserMemory.load(UInt64(0), from: address)
        return VirtualFunctionToken(words: [first, try UserMemory.load(UInt64(0), from: address + 8)])
    }

    /// How many characters the text has.
    static let textLength = 36

    /// The token that 36 characters of the form 8-4-4-4-12 stand for; nil if these are others.
    init?(_ text: ArraySlice<UInt8>) {
        guard text.count == Self.textLength else { return nil }
        words = [0, 0]
        var digits = 0
        for (index, byte) in text.enumerated() {
            let digit: UInt8
            switch (index, byte) {
            case (8, UInt8(ascii: "-")), (13, UInt8(ascii: "-")), (18, UInt8(ascii: "-")),
                (23, UInt8(ascii: "-")):
                continue
            case (8, _), (13, _), (18, _), (23, _): return nil
            case (_, UInt8(ascii: "0")...UInt8(ascii: "9")): digit = byte - UInt8(ascii: "0")
            case (_, UInt8(ascii: "a")...UInt8(ascii: "f")): digit = byte - UInt8(ascii: "a") + 10
            case (_, UInt8(ascii: "A")...UInt8(ascii: "F")): digit = byte - UInt8(ascii: "A") + 10
            default: return nil
            }
            // The first digit of a byte is its upper half; bytes fill a word from below.
            let shift = UInt64(digits / 2 % 8 * 8 + (digits % 2 == 0 ? 4 : 0))
            words[digits / 16] |= UInt64(digit) << shift
            digits += 1
        }
    }

    private init(words: InlineArray<2, UInt64>) { self.words = words }
}

extension Core {
    /// Whether somebody who shows a token, or none, may open a device (kernel.md A.8). With `lock` held.
    ///
    /// The token of a physical function that has no virtual function in use is what its user says from now on,
    /// whatever becomes of the opening.
    /// - Throws: `EACCES` for a token that is missing or wrong, `EINVAL` for one that nobody asks for.
    func admit(_ shown: VirtualFunctionToken?, to device: MachineDevice) throws(Errno) {
        if device.pci?.physicalFunction != nil {
            guard let token = physicalFunction(of: device)?.pci?.token else {
                // Another driver has the physical function, and knows no tokens.
                if shown != nil { throw .invalid }
                return
            }
            guard let shown, shown == token else { throw .accessDenied }
        } else if let token = device.pci?.token {
            if virtualFunctions(of: device).contains(where: { $0.openCount > 0 }) {
                guard let shown, shown == token else { throw .accessDenied }
            } else if let shown {
                device.pci?.token = shown
            }
        } else if shown != nil {
            throw .invalid
        }
    }

    /// The physical function of a virtual one. With `lock` held.
    func physicalFunction(of device: MachineDevice) -> MachineDevice? {
        guard let address = device.pci?.physicalFunction else { return nil }
        return devices.first { $0.address == address }
    }

    /// The virtual functions of a physical one. With `lock` held.
    func virtualFunctions(of device: MachineDevice) -> [MachineDevice] {
        guard let address = device.address else { return [] }
        return devices.filter { $0.pci?.physicalFunction == address }
    }
}

extension DeviceFile {
    /// `VFIO_DEVICE_FEATURE_PCI_VF_TOKEN`: gives the token of a physical function another value, whoever uses its
    /// virtual functions.
    func setToken(
        _ operation: FeatureOperation, isProbe: Bool, payload: HostAddress, room: UInt32
    ) throws(Errno) -> Int32 {
        let isPhysical = core.lock.withLock { device.pci?.token != nil }
        guard isPhysical else { throw .noSuchRequest }
        guard try operation.isWanted(isProbe, room, needs: 16) else { return 0 }
        let token = try VirtualFunctionToken.load(from: payload)
        core.lock.withLock { device.pci?.token = token }
        return 0
    }
}
