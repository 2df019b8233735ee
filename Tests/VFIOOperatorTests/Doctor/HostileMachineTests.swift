import LinuxSystem
import Testing
import VFIOHost
import VFIOOperator

@Suite("The doctor on a machine that lies")
struct HostileMachineTests {
    /// Numbers that depend on the seed only (SplitMix64).
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var word = state
            word = (word ^ word >> 30) &* 0xbf58_476d_1ce4_e5b9
            word = (word ^ word >> 27) &* 0x94d0_49bb_1331_11eb
            return word ^ word >> 31
        }
    }

    private static let files = [
        "proc/sys/kernel/osrelease", "proc/sys/kernel/tainted", "proc/cmdline", "proc/cpuinfo",
        "proc/meminfo",
        "proc/interrupts", "proc/self/limits", "proc/self/status", "proc/self/mountinfo", "proc/swaps",
        "boot/config-" + MadeMachine.release, "modules/\(MadeMachine.release)/modules.dep",
        "modules/\(MadeMachine.release)/modules.builtin", "etc/driverctl.d/pci-0000:01:00.0",
        "sys/kernel/iommu_groups/26/type", "sys/kernel/iommu_groups/26/reserved_regions",
        "sys/module/vfio_iommu_type1/parameters/dma_entry_limit",
        "sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts",
        "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages",
        "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages",
        "sys/kernel/mm/transparent_hugepage/enabled",
    ]
    private static let attributes = [
        "config", "power_state", "reset_method", "resource", "class", "vendor", "driver_override",
        "sriov_totalvfs",
        "sriov_numvfs", "iommu/intel-iommu/cap", "iommu/amd-iommu/features", "numa_node",
    ]
    private static let words = [
        "0", "-1", "4294967296", "9223372036854775807", "18446744073709551615", "99999999999999999999", "0x",
        "0xffffffffffffffff", "ffffffffffffffff", ":", "=", ",", "/", "..", "Max locked memory", "MemTotal:",
        "CapEff:", "unlimited", "intel_iommu=", "intel_iommu=off", "IR-PCI-MSI", "[", "]", "[always]",
        "\u{1b}[2J",
        "\n", "\n\n", "\t", " ", "D3cold", "flr", "bus", "CONFIG_VFIO=", "Y", "6", ".", "6.", ".6",
        "vfio-pci.ko", "é",
    ]

    /// Contents that a file might have: words, or bytes.
    private func contents(_ numbers: inout Numbers) -> [UInt8] {
        let count = Int.random(in: 0...24, using: &numbers)
        if Bool.random(using: &numbers) {
            return (0..<count * 12).map { _ in UInt8.random(in: 0...255, using: &numbers) }
        }
        var text = ""
        for _ in 0..<count {
            text += Self.words.randomElement(using: &numbers) ?? ""
            if Bool.random(using: &numbers) { text += " " }
        }
        return Array(text.utf8)
    }

    @Test("whatever files hold, each check answers, nothing traps, and nothing reaches the terminal")
    func anything() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var numbers = Numbers(state: seed)
        for _ in 0..<20 {
            let machine = try MadeMachine()
            for file in Self.files where Bool.random(using: &numbers) {
                try machine.file(file, bytes: contents(&numbers))
            }
            for address in [MadeMachine.disk, MadeMachine.card] {
                for attribute in Self.attributes where Int.random(in: 0..<3, using: &numbers) == 0 {
                    try machine.file(
                        "sys/bus/pci/devices/\(address)/\(attribute)", bytes: contents(&numbers))
                }
            }
            let plan = Doctor.Plan(
                memory: Bool.random(using: &numbers)
                    ? UInt64.random(in: 1...UInt64.max, using: &numbers) : nil,
                devices: Int.random(in: 1...Int.max, using: &numbers))
            let doctor = machine.doctor(plan)
            let findings = doctor.checks() + doctor.checks(of: DeviceID(MadeMachine.disk))
            #expect(findings.count > 20, "seed \(seed)")
            for finding in findings {
                let texts =
                    [finding.summary] + finding.evidence.flatMap { [$0.place, $0.found] }
                    + finding.remedies.flatMap { [$0.advice ?? "", $0.command ?? ""] }
                #expect(
                    texts.allSatisfy { text in
                        text.count <= 600 && !text.unicodeScalars.contains { $0.value < 0x20 }
                    }, "seed \(seed): \(finding)")
                #expect(finding.result == .ok || !finding.evidence.isEmpty, "seed \(seed): \(finding)")
            }
        }
    }
}
