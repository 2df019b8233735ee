import LinuxSystem
import VFIOABI
import VFIOHost

extension FaultRule: CustomStringConvertible {
    /// The rule as text that ``init(_:)`` reads.
    public var description: String {
        var text = event
        if let device = scope.device { text += ":\(device.qualifiedName)" }
        text += "=\(effect)"
        switch moment {
        case .always: break
        case .nth(let number): text += "@\(number)"
        case .from(let number): text += "@\(number)+"
        case .every(let number): text += "@/\(number)"
        case .chance(let perMillion):
            let digits = String(perMillion % 10_000)
            text +=
                "@\(perMillion / 10_000).\(String(repeating: "0", count: 4 - digits.utf8.count))\(digits)%"
        }
        return text
    }

    /// The event and its conditions.
    private var event: String {
        switch fault {
        case .request(let request, _):
            if let request {
                let names = FaultRequestName.all.filter { $0.request == request }
                if let name = names.first(where: { $0.files == scope.files }) { return "\(name.text)" }
                // A number with one meaning only, for some of the files that know it.
                if names.count == 1 { return "\(names[0].text)\(kinds)" }
                return "request:number=\(request.rawValue)\(kinds)"
            }
            return "request\(kinds)"
        case .open(let node, _):
            guard let node else { return "open" }
            return "open:node=/dev/\(node.path)"
        case .read: return "read"
        case .write: return "write"
        case .map: return "map"
        case .pin(let pages, _): return "pin:after=\(pages)"
        case .dmaRead: return "dma-read"
        case .dmaWrite(let byteCount, _):
            guard let byteCount else { return "dma-write" }
            return "dma-write:length=\(byteCount)"
        case .interrupt(let vector, _):
            guard let vector else { return "irq" }
            return "irq:vector=\(vector)"
        case .device: return "device"
        }
    }

    /// The kinds of files, where they aren't all.
    private var kinds: String {
        if scope.files == .all { return "" }
        var text = ""
        for (name, files) in FaultScope.Files.named where scope.files.contains(files) {
            text += ":on=\(name)"
        }
        return text
    }

    private var effect: String {
        if let errno = fault.errno { return errno.hasName ? "\(errno.name)" : "errno=\(errno.rawValue)" }
        switch fault {
        case .dmaWrite(_, .flipped(let byte, let bits)):
            var text = "flip"
            if let byte { text += ":byte=\(byte)" }
            if let bits { text += ":bits=\(bits)" }
            return text
        case .dmaWrite(_, .dropped), .interrupt(_, .dropped): return "drop"
        case .interrupt(_, .delayed(let milliseconds)): return "delay=\(milliseconds)ms"
        case .device(.vanished): return "vanish"
        case .device(.silent): return "silent"
        default: return "refuse"
        }
    }
}
