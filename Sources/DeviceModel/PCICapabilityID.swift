/// What kinds of capabilities there are, as far as hosts look at them.
package enum PCICapabilityID {
    /// IDs of standard capabilities (PCI Code and ID Assignment).
    package enum Standard {
        package static let powerManagement: UInt8 = 0x01
        package static let agp: UInt8 = 0x02
        package static let vitalProductData: UInt8 = 0x03
        package static let msi: UInt8 = 0x05
        package static let pciX: UInt8 = 0x07
        package static let hyperTransport: UInt8 = 0x08
        package static let vendor: UInt8 = 0x09
        package static let express: UInt8 = 0x10
        package static let msix: UInt8 = 0x11
        package static let sata: UInt8 = 0x12
        package static let advancedFeatures: UInt8 = 0x13
    }

    /// IDs of extended capabilities.
    package enum Extended {
        package static let errorReporting: UInt16 = 0x01
        package static let powerBudgeting: UInt16 = 0x04
        package static let vendor: UInt16 = 0x0b
        package static let virtualization: UInt16 = 0x10
        package static let designatedVendor: UInt16 = 0x23
    }
}
