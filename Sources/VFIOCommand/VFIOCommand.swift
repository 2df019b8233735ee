import ArgumentParser

@main
struct VFIOCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "vfio")
}
