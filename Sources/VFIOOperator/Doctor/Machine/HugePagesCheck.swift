/// Huge pages: what is reserved, and what is free. Memory in huge pages is pinned and mapped faster.
struct HugePagesCheck: Check {
    let id = "huge-pages"
    let title = "huge pages"
    let needsKernel = true

    /// Above this, mapping page by page takes seconds.
    private static let muchMemory: UInt64 = 1 << 30

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let root = examination.sysfs + "/kernel/mm/hugepages"
        let names = notes.names(root, limit: 64)
        guard let names = names.value else {
            return names.isAbsent
                ? .ok("none: the kernel is without them") : .undetermined("they can't be listed")
        }
        var parts: [String] = []
        var total: UInt64 = 0
        var free: UInt64 = 0
        var isKnown = true
        for name in names {
            guard name.hasPrefix("hugepages-"), name.hasSuffix("kB"),
                let kibibytes = UInt64(name.dropFirst(10).dropLast(2)), kibibytes > 0, kibibytes < 1 << 40
            else { continue }
            guard let reserved = notes.text("\(root)/\(name)/nr_hugepages").value.flatMap({ UInt64($0) }),
                let unused = notes.text("\(root)/\(name)/free_hugepages").value.flatMap({ UInt64($0) })
            else {
                isKnown = false
                continue
            }
            total = total.adding(reserved, of: kibibytes << 10)
            free = free.adding(unused, of: kibibytes << 10)
            if reserved > 0 { parts.append("\(unused) of \(reserved) of \(byteText(kibibytes << 10)) free") }
        }
        if !isKnown && parts.isEmpty { return .undetermined("how many there are can't be read") }
        let plan = examination.doctor.plan.memory
        let count = plan.map { $0 / (2 << 20) + ($0 % (2 << 20) == 0 ? 0 : 1) }
        let reserve = count.map {
            Remedy.run(
                "echo \($0) | sudo tee /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
                "reserve as many, and back the memory with them (hugetlbfs, memfd with MFD_HUGETLB)")
        }
        if total == 0 {
            let thp = notes.text(examination.sysfs + "/kernel/mm/transparent_hugepage/enabled").value
            let note = thp.flatMap { chosen($0) }.map { " (transparent ones: \($0))" } ?? ""
            if let plan, plan >= Self.muchMemory, thp.flatMap({ chosen($0) }) != "always" {
                return .warning(
                    "none reserved\(note): \(byteText(plan)) are mapped page by page, which takes long",
                    reserve.map { [$0] } ?? [])
            }
            return .ok("none reserved\(note), and none are needed")
        }
        if let plan, free < plan {
            return .warning(
                "\(parts.joined(separator: ", ")): less than \(byteText(plan))", reserve.map { [$0] } ?? [])
        }
        return .ok(parts.joined(separator: ", "))
    }

    /// The word in brackets, as "madvise" in "always [madvise] never".
    private func chosen(_ text: String) -> String? {
        text.split(separator: " ").first { $0.hasPrefix("[") && $0.hasSuffix("]") }.map {
            String($0.dropFirst().dropLast())
        }
    }
}

extension UInt64 {
    /// This and some pieces of a size, or the greatest number there is.
    func adding(_ count: UInt64, of size: UInt64) -> UInt64 {
        let (product, isTooMuch) = count.multipliedReportingOverflow(by: size)
        let (sum, isStillTooMuch) = addingReportingOverflow(product)
        return isTooMuch || isStillTooMuch ? .max : sum
    }
}

/// A number of bytes as people read it: "64 KiB", "1.5 GiB".
func byteText(_ count: UInt64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
    var unit = 0
    var size: UInt64 = 1
    while unit < units.count - 1, count / size >= 1024 {
        size <<= 10
        unit += 1
    }
    let whole = count / size
    let tenths = count % size / (size >= 10 ? size / 10 : size)
    return tenths == 0 || tenths > 9 ? "\(whole) \(units[unit])" : "\(whole).\(tenths) \(units[unit])"
}
