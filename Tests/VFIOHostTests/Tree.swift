import Glibc
import LinuxSystem

/// A folder of files and links in a temporary place, removed when it goes.
final class Tree {
    let root: String

    init() throws {
        // SAFETY: the environment isn't changed while tests run; the text is copied at once.
        let folder = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? P_tmpdir
        var template = Array((folder + "/vfio-tree-XXXXXX").utf8CString)
        // SAFETY: the array is NUL-terminated and changed in place.
        guard unsafe template.withUnsafeMutableBufferPointer({ unsafe mkdtemp($0.baseAddress!) }) != nil
        else {
            throw Errno(rawValue: errno)
        }
        root = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { Self.remove(root) }

    private static func remove(_ path: String) {
        for name in (try? FileSystem.names(in: path)) ?? [] {
            let child = path + "/" + name
            if (try? FileSystem.linkTarget(child)) != nil || unlink(child) == 0 {
                unlink(child)
            } else {
                remove(child)
            }
        }
        rmdir(path)
    }

    /// Makes a folder with all folders above it.
    func folder(_ path: String) {
        var whole = root
        for part in path.split(separator: "/") {
            whole += "/" + part
            mkdir(whole, 0o755)
        }
    }

    /// Makes a file with a text, and the folders above it.
    func file(_ path: String, _ text: String) throws { try file(path, Array(text.utf8)) }

    /// Makes a file of bytes, and the folders above it.
    func file(_ path: String, _ bytes: [UInt8]) throws {
        folder(path.split(separator: "/").dropLast().joined(separator: "/"))
        let file = try Descriptor(opening: root + "/" + path, [.writeOnly, .create, .truncate])
        guard !bytes.isEmpty else { return }
        // SAFETY: the array's bytes are all initialised.
        _ = try file.write(at: 0, unsafe bytes.span.bytes)
    }

    /// Makes a symbolic link, and the folders above it.
    func link(_ path: String, to target: String) {
        folder(path.split(separator: "/").dropLast().joined(separator: "/"))
        symlink(target, root + "/" + path)
    }
}
