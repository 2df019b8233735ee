import LinuxSystem

/// Where a PCI function sits: segment ("domain"), bus, device and function; "BDF" for short.
public struct PCIAddress: Equatable, Hashable, Comparable, Sendable {
    /// The segment, 0 on most machines.
    public let segment: UInt32
    /// The bus.
    public let bus: UInt8
    /// The device on its bus, 0...31.
    public let device: UInt8
    /// The function of the device, 0...7.
    public let function: UInt8

    /// Makes an address.
    /// - Precondition: `device` is at most 31 and `function` at most 7.
    public init(segment: UInt32 = 0, bus: UInt8, device: UInt8, function: UInt8) {
        precondition(device < 32 && function < 8, "not a PCI address")
        self.segment = segment
        self.bus = bus
        self.device = device
        self.function = function
    }

    /// Reads "0000:01:00.0", or "01:00.0" for segment 0. Nil if the text is anything else.
    public init?(_ text: some StringProtocol) {
        var fields = (UInt32(0), UInt32(0), UInt32(0), UInt32(0))
        var count = 0
        var digits = 0
        var value: UInt32 = 0
        var sawDot = false
        func keep(_ fields: inout (UInt32, UInt32, UInt32, UInt32), _ value: UInt32, _ index: Int) {
            switch index {
            case 0: fields.0 = value
            case 1: fields.1 = value
            case 2: fields.2 = value
            default: fields.3 = value
            }
        }
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt32(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"):
                value = value << 4 | UInt32(byte - UInt8(ascii: "a") + 10)
            case UInt8(ascii: "A")...UInt8(ascii: "F"):
                value = value << 4 | UInt32(byte - UInt8(ascii: "A") + 10)
            case UInt8(ascii: ":") where !sawDot && count < 2 && digits > 0:
                keep(&fields, value, count)
                count += 1
                digits = 0
                value = 0
                continue
            case UInt8(ascii: ".") where !sawDot && count >= 1 && digits > 0:
                keep(&fields, value, count)
                count += 1
                digits = 0
                value = 0
                sawDot = true
                continue
            default: return nil
            }
            digits += 1
            if digits > 8 { return nil }
        }
        guard sawDot, digits == 1 else { return nil }
        keep(&fields, value, count)
        let (segment, bus, device, function): (UInt32, UInt32, UInt32, UInt32)
        switch count {
        case 2: (segment, bus, device, function) = (0, fields.0, fields.1, fields.2)
        case 3: (segment, bus, device, function) = fields
        default: return nil
        }
        guard segment <= 0xffff_ffff, bus <= 0xff, device <= 0x1f, function <= 7 else { return nil }
        self.init(segment: segment, bus: UInt8(bus), device: UInt8(device), function: UInt8(function))
    }

    /// Orders by segment, bus, device and function.
    public static func < (a: PCIAddress, b: PCIAddress) -> Bool { a.key < b.key }

    /// Device and function as PCI's own 8 bits: `devfn`.
    public var deviceFunction: UInt8 { device << 3 | function }

    private var key: UInt64 { UInt64(segment) << 16 | UInt64(bus) << 8 | UInt64(deviceFunction) }
}

extension PCIAddress: CustomStringConvertible {
    /// "0000:01:00.0"
    public var description: String {
        "\(hexadecimal(segment, digits: 4)):\(hexadecimal(bus, digits: 2)):\(hexadecimal(device, digits: 2))"
            + ".\(function)"
    }
}

/// A number as lower-case hexadecimal digits, at least as many as asked for.
public func hexadecimal(_ value: some FixedWidthInteger, digits: Int = 1) -> String {
    hexadecimalDigits(UInt64(truncatingIfNeeded: value), digits)
}

@inline(never)
private func hexadecimalDigits(_ value: UInt64, _ count: Int) -> String {
    var text: [UInt8] = []
    var shift = 60
    while shift >= 0 {
        let digit = UInt8(value >> UInt64(shift) & 0xf)
        if digit != 0 || !text.isEmpty || shift < count * 4 || shift == 0 {
            text.append(digit + UInt8(ascii: digit < 10 ? "0" : "W"))
        }
        shift -= 4
    }
    return String(decoding: text, as: UTF8.self)
}
