import LinuxSystem
import MachineFormat
import SoftwareHost

extension MachineFile {
    /// Reads a file and makes the devices in it. Paths in it count from the file's own folder.
    static func read(_ path: String) throws(CommandFailure) -> MachineDescription {
        let bytes = try text(of: path)
        do throws(StrictObject.Problem) {
            return try parse(bytes, folder: folder(of: path))
        } catch {
            throw .wrongUsage("\(path): \(error)", remedy: Self.remedy)
        }
    }

    /// What helps with a mistake in one.
    static let remedy = "correct that place; Documentation/TestingWithoutHardware.md has whole machines"

    /// The bytes of a machine file.
    static func text(of path: String) throws(CommandFailure) -> [UInt8] {
        do throws(Errno) {
            return try FileSystem.bytes(of: path, limit: byteLimit)
        } catch {
            throw .file(path, .read, error, code: .wrongUsage)
        }
    }

    /// The folder of a file, with a slash at its end; empty for one in the current folder.
    static func folder(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "" }
        return String(path[...slash])
    }
}
