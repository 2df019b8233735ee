import Foundation
import Testing

@testable import VFIOCommand

@Suite("What is told of a program before it is started under vfio run")
struct ForeignProgramTests {
    /// A 64-bit program for x86-64 with program headers.
    func program(_ headers: [(kind: UInt32, content: [UInt8])], architecture: UInt16 = 62) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 64 + 56 * headers.count)
        func put<T: FixedWidthInteger>(_ value: T, at place: Int) {
            for index in 0..<MemoryLayout<T>.size {
                bytes[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index))
            }
        }
        bytes.replaceSubrange(0..<6, with: [0x7f, 0x45, 0x4c, 0x46, 2, 1])
        put(architecture, at: 18)
        put(UInt64(64), at: 32)
        put(UInt16(56), at: 54)
        put(UInt16(headers.count), at: 56)
        for (index, header) in headers.enumerated() {
            put(header.kind, at: 64 + 56 * index)
            put(UInt64(bytes.count), at: 64 + 56 * index + 8)
            put(UInt64(header.content.count), at: 64 + 56 * index + 32)
            bytes += header.content
        }
        return bytes
    }

    @Test("its loader, its processor, and whether Go's tools made it")
    func heads() throws {
        let loader = Array("/lib64/ld-linux-x86-64.so.2\0".utf8)
        let note: [UInt8] = [4, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0] + Array("Go\0\0ab".utf8)
        let dynamic = try #require(ProgramHead(program([(3, loader)])))
        #expect(dynamic.loader == "/lib64/ld-linux-x86-64.so.2" && dynamic.is64Bit && !dynamic.isGo)
        #expect(dynamic.architecture == 62)
        let go = try #require(ProgramHead(program([(4, note), (3, loader)], architecture: 183)))
        #expect(go.isGo && go.loader != nil && go.architecture == 183)
        let alone = try #require(ProgramHead(program([(1, [])])))
        #expect(alone.loader == nil && !alone.isGo)
        #expect(ProgramHead(Array("#!/bin/sh\n".utf8)) == nil && ProgramHead([]) == nil)
    }

    @Test("damaged files are no programs, or programs without a loader; none ends the process")
    func damage() {
        let seed = UInt64.random(in: 0...UInt64.max)
        var state = seed
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 33
        }
        let whole = program([
            (3, Array("/lib/ld.so\0".utf8)), (4, [4, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 0x47, 0x6f, 0, 0]),
        ])
        var loaders = 0
        for _ in 0..<20_000 {
            var bytes = whole
            for _ in 0...next() % 4 { bytes[Int(next()) % bytes.count] = UInt8(truncatingIfNeeded: next()) }
            if next() % 4 == 0 { bytes.removeLast(Int(next()) % bytes.count) }
            if ProgramHead(bytes)?.loader != nil { loaders += 1 }
        }
        #expect(loaders > 0 && loaders < 20_000, "seed \(seed)")
    }

    @Test("this system's shell can be reached; what isn't there, or no program, isn't judged")
    func real() throws {
        #expect(ForeignProgram("no-such-program-anywhere") == nil)
        #expect(ForeignProgram("/etc/passwd") == nil)
        #expect(try #require(ForeignProgram("sh")).complaint == nil)
    }
}
