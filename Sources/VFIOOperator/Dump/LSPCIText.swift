import PCIDecoder
import VFIOHost

/// A digit of a hexadecimal number.
enum HexDigit {
    static func value(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// The configuration spaces in a text of `lspci -x`, `-xxx` or `-xxxx`: for each device a line that begins with its
/// address, and lines of up to 16 bytes that begin with their offset and a colon. All other lines are passed over.
struct LSPCIText {
    /// The devices with their bytes, in the text's order.
    private(set) var devices: [(address: PCIAddress, bytes: [UInt8])] = []

    /// Reads a text. Bytes must come in order; lines out of order end their device.
    init(_ text: [UInt8]) {
        var isOpen = false
        for line in text.split(separator: 0x0a) {
            let words = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
            guard let first = words.first else { continue }
            // A line of a device begins at the margin, with an address.
            if line.first != 0x20, line.first != 0x09,
                let address = PCIAddress(String(decoding: first, as: UTF8.self))
            {
                devices.append((address, []))
                isOpen = true
                continue
            }
            guard isOpen, first.last == UInt8(ascii: ":"), let offset = Self.number(first.dropLast()) else {
                continue
            }
            let bytes = words.dropFirst().map { $0.count == 2 ? Self.number($0) : nil }
            let last = devices.count - 1
            guard offset == devices[last].bytes.count, (1...16).contains(bytes.count),
                offset + bytes.count <= 4096, bytes.allSatisfy({ $0 != nil })
            else {
                isOpen = false
                continue
            }
            devices[last].bytes += bytes.map { UInt8($0 ?? 0) }
        }
    }

    /// Up to 3 digits.
    private static func number(_ digits: some Collection<UInt8>) -> Int? {
        guard (1...3).contains(digits.count) else { return nil }
        var value = 0
        for digit in digits {
            guard let digit = HexDigit.value(digit) else { return nil }
            value = value << 4 | Int(digit)
        }
        return value
    }
}

extension DeviceReport {
    /// Reads a device of a text of lspci's.
    init(lspci text: [UInt8], device name: String?) throws(DumpError) {
        let devices = LSPCIText(text).devices.filter { !$0.bytes.isEmpty }
        guard let first = devices.first else {
            throw DumpError(
                "it is neither a dump of vfio inspect nor a text of lspci -xxxx: there are no bytes in it")
        }
        var found = first
        if let name {
            let wanted = PCIAddress(name)
            guard let match = devices.first(where: { $0.address == wanted }) else {
                throw DumpError("\(name) isn't in it; there are \(Self.listed(devices.map(\.address)))")
            }
            found = match
        } else if devices.count > 1 {
            throw DumpError(
                "there are \(devices.count) devices in it; name one: \(Self.listed(devices.map(\.address)))")
        }
        self.init(name: "\(found.address)", bus: "pci", host: "lspci")
        let configuration = Configuration(bytes: found.bytes, source: "file")
        self.configuration = configuration
        facts.complete(from: configuration.decoded)
        missing.append(Missing("everything but the configuration space", "lspci doesn't write it"))
    }

    private static func listed(_ addresses: [PCIAddress]) -> String {
        let most = 8
        let text = addresses.prefix(most).map { "\($0)" }.joined(separator: ", ")
        return addresses.count > most ? text + ", …" : text
    }
}
