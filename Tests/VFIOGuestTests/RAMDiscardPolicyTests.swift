import LinuxSystem
import Testing
import VFIO
import VFIOABI
import VFIOGuest

@Suite("Who needs and who forbids discards of guest RAM")
struct RAMDiscardPolicyTests {
    typealias Claim = RAMDiscardPolicy.Claim

    @Test("Needs and bans exclude one another exactly as they must", arguments: Claim.allCases)
    func conflicts(held: Claim) throws {
        // Rows are what is held, columns what is asked for; written out, so that no rule of the code is repeated.
        let excluded: [Claim: Set<Claim>] = [
            .needsDiscards: [.forbidsDiscards, .forbidsUncoordinatedDiscards],
            .needsCoordinatedDiscards: [.forbidsDiscards],
            .forbidsDiscards: [.needsDiscards, .needsCoordinatedDiscards],
            .forbidsUncoordinatedDiscards: [.needsDiscards],
        ]
        for asked in Claim.allCases {
            let policy = RAMDiscardPolicy()
            let hold = try policy.hold(held, for: "the first")
            let error = thrown { () throws(VFIOError) in try policy.hold(asked, for: "the second") }
            if try #require(excluded[held]).contains(asked) {
                #expect(error?.errno == .busy)
                #expect(error?.code == .busy)
                #expect(error?.cause?.contains("the first") == true)
                #expect(error?.object == "the second")
            } else {
                #expect(error == nil)
            }
            hold.release()
            #expect(Claim.allCases.allSatisfy { policy.count(of: $0) == 0 })
        }
    }

    @Test("Claims are counted, and given back one by one")
    func counting() throws {
        let policy = RAMDiscardPolicy()
        let first = try policy.hold(.forbidsUncoordinatedDiscards, for: "group 1")
        var second: RAMDiscardPolicy.Hold? = try policy.hold(
            .forbidsUncoordinatedDiscards, for: "group 2")
        #expect(policy.count(of: .forbidsUncoordinatedDiscards) == 2)
        #expect(second?.claim == .forbidsUncoordinatedDiscards)
        first.release()
        first.release()
        #expect(policy.count(of: .forbidsUncoordinatedDiscards) == 1)
        #expect(!policy.allowsUncoordinatedDiscards)
        #expect(policy.allowsCoordinatedDiscards)
        second = nil
        #expect(policy.allowsUncoordinatedDiscards)
        let ban = try policy.hold(.forbidsDiscards, for: "group 3")
        #expect(!policy.allowsUncoordinatedDiscards)
        #expect(!policy.allowsCoordinatedDiscards)
        ban.release()
        #expect(policy.allowsCoordinatedDiscards)
    }

    @Test("1.18 An IOMMU that follows the manager forbids only unannounced discards, and sPAPR all")
    func kinds() throws {
        for iommu: RAMDiscardPolicy.IOMMU in [
            .container(.type1), .container(.type1v2), .iommufd, .server,
        ] {
            let policy = RAMDiscardPolicy()
            let blocks = try policy.hold(.needsCoordinatedDiscards, for: "vmem0")
            let group = try RAMDiscardGroup("group 1", on: iommu, policy)
            #expect(!policy.allowsUncoordinatedDiscards)
            #expect(!group.isExempt)
            blocks.release()
        }
        for iommu: RAMDiscardPolicy.IOMMU in [
            .container(.spaprTCE), .container(.spaprTCEv2), .container(IOMMUType(rawValue: 99)),
        ] {
            let policy = RAMDiscardPolicy()
            let blocks = try policy.hold(.needsCoordinatedDiscards, for: "vmem0")
            let error = thrown { () throws(VFIOError) in
                try RAMDiscardGroup("group 1", on: iommu, policy)
            }
            #expect(error?.errno == .busy)
            blocks.release()
            _ = try RAMDiscardGroup("group 1", on: iommu, policy)
        }
    }

    @Test("1.18 A group forbids discards from its beginning to its end")
    func group() throws {
        let policy = RAMDiscardPolicy()
        var group: RAMDiscardGroup? = try RAMDiscardGroup("group 1", on: .container(.type1v2), policy)
        try group?.add("0000:01:00.0", isExempt: false, isMediated: false)
        #expect(!policy.allowsUncoordinatedDiscards)
        group?.remove("0000:01:00.0")
        #expect(!policy.allowsUncoordinatedDiscards)
        group = nil
        #expect(policy.allowsUncoordinatedDiscards)
    }

    @Test("1.19 A group of mediated devices that pin what they use is exempt from the first one on")
    func exemption() throws {
        let policy = RAMDiscardPolicy()
        let group = try RAMDiscardGroup("group 2", on: .container(.type1v2), policy)
        let other = try RAMDiscardGroup("group 3", on: .container(.type1v2), policy)
        try group.add("ap-1", isExempt: true, isMediated: true)
        #expect(group.isExempt)
        // The other group of the same container still pins everything.
        #expect(policy.count(of: .forbidsUncoordinatedDiscards) == 1)
        #expect(!other.isExempt)
        try group.add("ap-2", isExempt: true, isMediated: true)
        #expect(policy.count(of: .forbidsUncoordinatedDiscards) == 1)
    }

    @Test("1.19 All devices of a group must agree, and only mediated ones can be exempt")
    func agreement() throws {
        let policy = RAMDiscardPolicy()
        let group = try RAMDiscardGroup("group 2", on: .container(.type1v2), policy)
        let physical = thrown { () throws(VFIOError) in
            try group.add("0000:01:00.0", isExempt: true, isMediated: false)
        }
        #expect(physical?.code == .notSupported)
        try group.add("ap-1", isExempt: true, isMediated: true)
        let strict = thrown { () throws(VFIOError) in
            try group.add("gpu-1", isExempt: false, isMediated: true)
        }
        #expect(strict?.errno == .busy)
        #expect(strict?.cause?.contains("ap-1") == true)
        let second = try RAMDiscardGroup("group 3", on: .container(.type1v2), policy)
        try second.add("gpu-1", isExempt: false, isMediated: true)
        let lax = thrown { () throws(VFIOError) in try second.add("ap-3", isExempt: true, isMediated: true) }
        #expect(lax?.cause?.contains("gpu-1") == true)
        #expect(policy.count(of: .forbidsUncoordinatedDiscards) == 1)
    }

    @Test(
        "1.19 A group whose exempt devices are gone forbids again before a device that pins everything comes")
    func banAgain() throws {
        let policy = RAMDiscardPolicy()
        let group = try RAMDiscardGroup("group 2", on: .container(.type1v2), policy)
        try group.add("ap-1", isExempt: true, isMediated: true)
        group.remove("ap-1")
        let balloon = try policy.hold(.needsDiscards, for: "the balloon")
        let refused = thrown { () throws(VFIOError) in
            try group.add("gpu-1", isExempt: false, isMediated: true)
        }
        #expect(refused?.errno == .busy)
        #expect(refused?.cause?.contains("the balloon") == true)
        balloon.release()
        try group.add("gpu-1", isExempt: false, isMediated: true)
        #expect(!policy.allowsUncoordinatedDiscards)
    }
}
