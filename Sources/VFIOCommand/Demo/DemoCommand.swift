import ArgumentParser
import LinuxSystem
import VFIOHost

/// `vfio demo`: the main job on the software kernel, told step by step.
struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Drive an NVMe disk through VFIO inside this process, and tell what happens.",
        discussion: """
            Needs no hardware, no root and no kernel module. An image that is given is only read: what the demo
            writes stays in memory. With --guest the devices are those of a small virtual machine, whose memory they
            follow as it is plugged, unplugged, translated and moved.
            """)

    @Option(
        help: ArgumentHelp("A disk image; an ext4 image is made where none is given.", valueName: "file"),
        completion: .file())
    var image: String?

    @Flag(help: "Show devices of a virtual machine, instead of a disk.")
    var guest = false

    @OptionGroup var faults: FaultOptions

    func run() throws {
        let console = Console()
        let started = Clock.now
        if guest {
            guard image == nil else {
                throw CommandFailure.wrongUsage("--image: there is no disk with --guest")
            }
            var demo = try GuestDemo(faults, console)
            try demo.run()
        } else {
            let image = try DemoImage(given: image, console)
            defer { image.remove() }
            var demo = try Demo(image, faults, console)
            try demo.run()
        }
        console.line()
        console.heading("Done in \(Human.nanoseconds(Clock.now - started)).")
    }
}
