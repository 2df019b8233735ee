import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("What the doctor says of memory")
struct MemoryCheckTests {
    private static let gibibyte: UInt64 = 1 << 30

    @Test("the limit of locked memory is judged against what is planned")
    func limit() throws {
        let machine = try MadeMachine()
        let plan = Doctor.Plan(memory: 16 * Self.gibibyte)
        try machine.limit("8388608")
        var finding = try machine.finding("memory-lock", plan)
        #expect(finding.result == .failed && finding.summary.contains("17179869184"))
        #expect(
            finding.remedies.contains { $0.advice == "for a service of systemd: LimitMEMLOCK=18253611008" })
        #expect(!finding.remedies.contains { $0.command?.hasPrefix("ulimit") == true })
        try machine.limit("8388608", hard: "unlimited")
        finding = try machine.finding("memory-lock", plan)
        #expect(finding.remedies.first?.command == "ulimit -l 17825792")
        try machine.limit("17179869184")
        finding = try machine.finding("memory-lock", plan)
        #expect(finding.result == .warning && finding.summary.contains("firmware"))
        try machine.limit("unlimited")
        #expect(try machine.finding("memory-lock", plan).result == .ok)
    }

    @Test("a device each with an address space of its own needs the memory as many times")
    func devices() throws {
        let machine = try MadeMachine()
        try machine.limit("25769803776")
        #expect(try machine.finding("memory-lock", Doctor.Plan(memory: 16 * Self.gibibyte)).result == .ok)
        let two = try machine.finding("memory-lock", Doctor.Plan(memory: 16 * Self.gibibyte, devices: 2))
        #expect(two.result == .warning && two.summary.contains("32 GiB"))
        #expect(
            two.evidence.contains { $0.place.contains("type 1") && $0.found.contains("17179869184 bytes") })
        // 256 MiB of the card's own memory, 16 KiB of the disk's.
        #expect(
            two.evidence.contains {
                $0.place.contains("iommufd") && $0.found.contains("268451840 of them BARs")
            })
    }

    @Test("devices' own memory counts for an iommufd")
    func ownMemory() throws {
        let machine = try MadeMachine()
        try machine.limit("\(Self.gibibyte + (100 << 20))")
        let finding = try machine.finding(
            "memory-lock", Doctor.Plan(memory: Self.gibibyte))
        #expect(finding.result == .warning && finding.summary.contains("iommufd"))
    }

    @Test("without a plan little is said to be little")
    func noPlan() throws {
        let machine = try MadeMachine()
        try machine.limit("8388608")
        #expect(try machine.finding("memory-lock").result == .warning)
        try machine.limit("1073741824")
        #expect(try machine.finding("memory-lock").result == .ok)
    }

    @Test("CAP_IPC_LOCK exempts, a machine with less memory fails, limits that can't be read matter")
    func others() throws {
        let machine = try MadeMachine()
        try machine.limit("8388608")
        try machine.file("proc/self/status", "CapEff:\t0000000000004000\n")
        let plan = Doctor.Plan(memory: 16 * Self.gibibyte)
        #expect(try machine.finding("memory-lock", plan).result == .ok)
        let much = try machine.finding("memory-lock", Doctor.Plan(memory: 1 << 40))
        #expect(much.result == .failed && much.summary.contains("62.5 GiB"))
        try machine.file("proc/self/limits", "Max locked memory  many  bytes\n")
        let unknown = try machine.finding("memory-lock")
        #expect(unknown.result == .undetermined && unknown.isEssential)
    }

    @Test("the greatest numbers overflow nothing")
    func extremes() throws {
        let machine = try MadeMachine()
        let plan = Doctor.Plan(memory: .max, devices: .max)
        try machine.limit("18446744073709551614")
        try machine.file("sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "18446744073709551615\n")
        try machine.file("sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "18446744073709551615\n")
        try machine.file("proc/meminfo", "MemTotal:       18446744073709551615 kB\n")
        #expect(machine.doctor(plan).checks().count > 10)
        #expect(machine.doctor(plan).checks(of: DeviceID(MadeMachine.card)).count > 10)
    }

    @Test("the number of mappings is judged in pieces of 2 MiB")
    func mappings() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("mapping-limit", Doctor.Plan(memory: 64 * Self.gibibyte)).result == .ok)
        let finding = try machine.finding("mapping-limit", Doctor.Plan(memory: 128 * Self.gibibyte))
        #expect(finding.result == .warning && finding.summary.contains("65536"))
        machine.remove("sys/module/vfio_iommu_type1/parameters/dma_entry_limit")
        #expect(try machine.finding("mapping-limit").result == .undetermined)
    }

    @Test("huge pages: enough, too few, none though much is mapped, unreadable")
    func hugePages() throws {
        let machine = try MadeMachine()
        #expect(try machine.finding("huge-pages", Doctor.Plan(memory: 2 * Self.gibibyte)).result == .ok)
        var finding = try machine.finding("huge-pages", Doctor.Plan(memory: 4 * Self.gibibyte))
        #expect(
            finding.result == .warning && finding.remedies.first?.command?.hasPrefix("echo 2048 ") == true)
        let counts = "sys/kernel/mm/hugepages/hugepages-2048kB/"
        for name in ["nr_hugepages", "free_hugepages"] { try machine.file(counts + name, "0\n") }
        #expect(try machine.finding("huge-pages").result == .ok)
        finding = try machine.finding("huge-pages", Doctor.Plan(memory: 4 * Self.gibibyte))
        #expect(finding.result == .warning && finding.summary.hasPrefix("none reserved"))
        for name in ["nr_hugepages", "free_hugepages"] {
            try machine.file(counts + name, "many\n")
            try machine.file("sys/kernel/mm/hugepages/hugepages-1048576kB/" + name, "many\n")
        }
        #expect(try machine.finding("huge-pages").result == .undetermined)
    }
}
