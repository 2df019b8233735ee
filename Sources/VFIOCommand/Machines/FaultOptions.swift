import ArgumentParser
import SoftwareHost

/// What is to go wrong on a software machine: options of every verb that can run on one.
struct FaultOptions: ParsableArguments {
    @Option(
        name: .customLong("fault"),
        help: ArgumentHelp(
            "What is to go wrong on a software machine, e.g. map-dma=ENOMEM@3; may be given several times.",
            discussion: """
                EVENT:CONDITION...=EFFECT@MOMENT, for instance
                  map-dma=ENOMEM@3                  the third VFIO_IOMMU_MAP_DMA fails
                  pin:after=16=EFAULT               locking memory fails after 16 pages
                  irq:0000:01:00.0=drop@10%         every tenth interrupt or so is lost
                  irq:vector=2=delay=5ms            interrupts of vector 2 come late
                  dma-write:length=16=flip@/100     every 100th completion is wrong
                  device:0000:01:00.0=vanish@1000   pulled out at the 1000th access
                Moments: 3, 3+ (and later), /3 (every third), 10% (by chance, see --seed).
                """, valueName: "spec"))
    var faults: [String] = []

    @Option(help: ArgumentHelp("What chance is drawn from in --fault.", valueName: "number"))
    var seed: UInt64?

    /// A machine with these faults besides its own.
    func added(to machine: MachineDescription) throws(CommandFailure) -> MachineDescription {
        var machine = machine
        if let seed { machine.faults.seed = seed }
        for text in faults {
            do throws(FaultTextError) {
                machine.faults.rules.append(try FaultRule(text))
            } catch {
                throw .wrongUsage(
                    "--fault: \(error)",
                    remedy: "vfio list --help has examples, such as map-dma=ENOMEM@3")
            }
        }
        return machine
    }

    /// Complains about faults where this machine's own kernel answers, which can't be told to fail.
    func requireNone() throws(CommandFailure) {
        if !faults.isEmpty {
            throw .wrongUsage("--fault is for software machines", remedy: "use it with --host soft")
        }
        if seed != nil {
            throw .wrongUsage("--seed is for software machines", remedy: "use it with --host soft")
        }
    }
}
