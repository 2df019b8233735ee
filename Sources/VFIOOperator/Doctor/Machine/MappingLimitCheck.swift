/// How many mappings a container may have (`dma_entry_limit`) against the memory that is planned.
struct MappingLimitCheck: Check {
    let id = "mapping-limit"
    let title = "mappings"

    /// The size of the pieces that programs with huge pages map.
    private static let piece: UInt64 = 2 << 20
    /// What a kernel has without being told.
    private static let usual: UInt64 = 65_535

    func judge(_ examination: Examination, _ notes: inout Notes) -> Judgement? {
        let reading = notes.text(
            examination.sysfs + "/module/vfio_iommu_type1/parameters/dma_entry_limit")
        guard let limit = reading.value.flatMap({ UInt64($0) }) else {
            return .undetermined(
                "how many a container may have can't be read (\(Self.usual) if nobody changed it)",
                reading.isAbsent
                    ? [.run("sudo modprobe vfio_iommu_type1", "it is told once this is loaded")] : [])
        }
        let reach = UInt64(0).adding(limit, of: Self.piece)
        let text = "at most \(limit) in a container: \(byteText(reach)) in pieces of 2 MiB"
        guard let memory = examination.doctor.plan.memory else { return .ok(text) }
        let needed = memory / Self.piece + (memory % Self.piece == 0 ? 0 : 1)
        if needed > limit {
            return .warning(
                "at most \(limit) in a container: \(byteText(memory)) in pieces of 2 MiB are \(needed) (ENOSPC)",
                [
                    .advice("map larger pieces where the program can"),
                    .run(
                        "echo \(needed) | sudo tee /sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
                        "for containers that are made afterwards"),
                    .run(
                        "echo 'options vfio_iommu_type1 dma_entry_limit=\(needed)' | sudo tee "
                            + "/etc/modprobe.d/vfio-entries.conf", "at every start"),
                ])
        }
        return .ok("\(text); \(needed) needed at most in such pieces")
    }
}
