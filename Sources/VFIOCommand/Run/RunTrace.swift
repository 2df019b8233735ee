import LinuxSystem
import VFIOHost

/// The trace of a run: the library writes it while the program runs, and it is printed afterwards if that is wanted.
struct RunTrace {
    /// Where the library writes; nil where nothing is written.
    let path: String?
    /// The folder of a trace that nobody has asked to keep.
    private let folder: String?
    private let isPrinted: Bool

    init(_ option: TraceOption) throws(CommandFailure) {
        isPrinted = option.isVerbose
        if option.path != nil || !isPrinted {
            path = try option.begin()
            folder = nil
            return
        }
        let folder = try catching("no folder for the trace can be made in /tmp") { () throws(Errno) in
            try FileSystem.makeTemporaryFolder("/tmp/vfio-trace-")
        }
        var kept = option
        kept.path = folder + "/trace"
        path = try kept.begin()
        self.folder = folder
    }

    /// Prints what is to be printed, and removes what isn't to be kept.
    func end() {
        if isPrinted, let path { CallPrinter.printCalls(of: path) }
        if let folder { FileSystem.removeFolder(folder) }
    }
}
