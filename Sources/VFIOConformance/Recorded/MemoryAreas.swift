import LinuxSystem
import VFIOABI
import VFIOHost
import VFIOTrace

/// The addresses that a program gave to devices, put together to stretches of memory.
struct MemoryAreas {
    private struct Stretch {
        var start: UInt64
        var end: UInt64
        var isAccessible: Bool
    }

    private var stretches: [Stretch] = []

    /// Takes the addresses out of a trace.
    init(_ events: [TraceEvent]) {
        var found: [Stretch] = []
        let page = UInt64(pageSize)
        for event in events {
            guard let request = event.request, let before = event.record.before else { continue }
            let fields = StructureDecoder.fields(of: request, in: before)
            for (start, count) in Self.memory(in: fields) {
                let (end, overflow) = start.addingReportingOverflow(count)
                guard !overflow, end <= .max - page, count > 0 else { continue }
                found.append(
                    Stretch(
                        start: start / page * page, end: (end + page - 1) / page * page,
                        isAccessible: event.record.errno != .badAddress))
            }
        }
        for next in found.sorted(by: { $0.start < $1.start }) {
            if var last = stretches.last, next.start < last.end {
                last.end = max(last.end, next.end)
                // A part was there; the program may have made the rest inaccessible, which nobody can tell.
                last.isAccessible = last.isAccessible || next.isAccessible
                stretches[stretches.count - 1] = last
            } else {
                stretches.append(next)
            }
        }
    }

    /// Addresses with their lengths.
    static func memory(in fields: [DecodedField]) -> [(start: UInt64, count: UInt64)] {
        fields.indices.filter { fields[$0].kind == .memory }.compactMap { index in
            let size = fields[index...].first { $0.name == "size" || $0.name == "length" }
            return size.map { (fields[index].value, $0.value) }
        }
    }

    /// The stretch that an address is in.
    func place(of address: UInt64) -> (name: Int, addend: Int)? {
        guard let name = stretches.firstIndex(where: { $0.start <= address && address < $0.end }) else {
            return nil
        }
        return (name, Int(address - stretches[name].start))
    }

    /// As they stand in a case.
    var areas: [RecordedCase.Area] {
        stretches.map { .init(byteCount: Int(clamping: $0.end - $0.start), isAccessible: $0.isAccessible) }
    }
}
