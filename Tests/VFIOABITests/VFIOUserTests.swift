import Testing
import VFIOABI

/// The layouts of vfio-user's messages, as the protocol's document and libvfio-user have them: no C header of theirs
/// is among the facts of the other tables.
@Suite("The words of vfio-user")
struct VFIOUserWordsTests {
    private func place<Structure: ABIValue, Field>(_ path: KeyPath<Structure, Field>) -> [Int] {
        [MemoryLayout<Structure>.offset(of: path) ?? -1, MemoryLayout<Field>.size]
    }

    @Test("are as long as they are on the wire")
    func sizes() {
        #expect(UserMessageHeader.byteCount == 16)
        #expect(UserVersion.byteCount == 4)
        #expect(UserDMAMap.byteCount == 32)
        #expect(UserDMAUnmap.byteCount == 24)
        #expect(UserDirtyBitmap.byteCount == 16)
        #expect(UserDMAAccess.byteCount == 16)
        #expect(UserDeviceInfo.byteCount == 16)
        #expect(UserRegionAccess.byteCount == 16)
        #expect(UserRegionWriteMulti.byteCount == 8)
        #expect(UserRegionWrite.byteCount == 24)
        #expect(UserRegionIOFDs.byteCount == 16)
        #expect(UserRegionIOFD.byteCount == 48)
        #expect(UserMigrationData.byteCount == 8)
        #expect(MemoryLayout<UserRegionWrite>.stride == 24)
        #expect(MemoryLayout<UserRegionIOFD>.stride == 48)
    }

    @Test("have their fields where they are on the wire")
    func fields() {
        #expect(place(\UserMessageHeader.id) == [0, 2])
        #expect(place(\UserMessageHeader.command) == [2, 2])
        #expect(place(\UserMessageHeader.messageSize) == [4, 4])
        #expect(place(\UserMessageHeader.flags) == [8, 4])
        #expect(place(\UserMessageHeader.error) == [12, 4])
        #expect(place(\UserDMAMap.flags) == [4, 4])
        #expect(place(\UserDMAMap.offset) == [8, 8])
        #expect(place(\UserDMAMap.address) == [16, 8])
        #expect(place(\UserDMAMap.size) == [24, 8])
        #expect(place(\UserDMAUnmap.address) == [8, 8])
        #expect(place(\UserDMAUnmap.size) == [16, 8])
        #expect(place(\UserRegionAccess.offset) == [0, 8])
        #expect(place(\UserRegionAccess.region) == [8, 4])
        #expect(place(\UserRegionAccess.count) == [12, 4])
        #expect(place(\UserRegionWrite.data) == [16, 8])
        #expect(place(\UserRegionIOFD.descriptorIndex) == [16, 4])
        #expect(place(\UserRegionIOFD.type) == [20, 4])
        #expect(place(\UserRegionIOFD.flags) == [24, 4])
        #expect(place(\UserRegionIOFD.shadowDescriptorIndex) == [28, 4])
        #expect(place(\UserRegionIOFD.shadowOffset) == [32, 8])
        #expect(place(\UserRegionIOFD.dataMatch) == [40, 8])
    }

    @Test("have their numbers")
    func numbers() {
        let commands: [UserCommand] = [
            .version, .dmaMap, .dmaUnmap, .deviceGetInfo, .deviceGetRegionInfo, .deviceGetRegionIOFDs,
            .deviceGetIRQInfo, .deviceSetIRQs, .regionRead, .regionWrite, .dmaRead, .dmaWrite, .deviceReset,
        ]
        #expect(commands.map(\.rawValue) == Array(1...13))
        let later: [UserCommand] = [
            .regionWriteMulti, .deviceFeature, .migrationDataRead, .migrationDataWrite,
        ]
        #expect(later.map(\.rawValue) == Array(15...18))
        #expect(UserMessageFlags.reply.rawValue == 1)
        #expect(UserMessageFlags.noReply.rawValue == 0x10)
        #expect(UserMessageFlags.error.rawValue == 0x20)
        #expect(UserDMAMapFlags.known.rawValue == 15)
        #expect(UserDMAUnmapFlags.all.rawValue == 2)
    }

    @Test("tell commands from replies by their type, whatever the other bits say")
    func types() {
        #expect(UserMessageHeader(flags: [.noReply]).isCommand)
        #expect(UserMessageHeader(flags: [.reply, .error]).isReply)
        let neither = UserMessageHeader(flags: UserMessageFlags(rawValue: 3))
        #expect(!neither.isReply && !neither.isCommand)
    }
}
