import Foundation

/// Status of ETSI GS QKD 014 V1.1.1, 6.1. Sizes are in bits. Properties have the names of the standard.
public struct ETSI014Status: Codable, Sendable, Equatable {
    public var source_KME_ID: String
    public var target_KME_ID: String
    public var master_SAE_ID: String
    public var slave_SAE_ID: String
    public var key_size: Int
    public var stored_key_count: Int
    public var max_key_count: Int
    public var max_key_per_request: Int
    public var max_key_size: Int
    public var min_key_size: Int
    public var max_SAE_ID_count: Int
    public var status_extension: ETSI014StatusExtension?
}

extension ETSI014Status {
    /// Takes other KMEs' extensions, whatever they are, for none.
    public init(from decoder: any Decoder) throws {
        let values = try decoder.container(keyedBy: CodingKeys.self)
        source_KME_ID = try values.decode(String.self, forKey: .source_KME_ID)
        target_KME_ID = try values.decode(String.self, forKey: .target_KME_ID)
        master_SAE_ID = try values.decode(String.self, forKey: .master_SAE_ID)
        slave_SAE_ID = try values.decode(String.self, forKey: .slave_SAE_ID)
        key_size = try values.decode(Int.self, forKey: .key_size)
        stored_key_count = try values.decode(Int.self, forKey: .stored_key_count)
        max_key_count = try values.decode(Int.self, forKey: .max_key_count)
        max_key_per_request = try values.decode(Int.self, forKey: .max_key_per_request)
        max_key_size = try values.decode(Int.self, forKey: .max_key_size)
        min_key_size = try values.decode(Int.self, forKey: .min_key_size)
        max_SAE_ID_count = try values.decode(Int.self, forKey: .max_SAE_ID_count)
        status_extension = try? values.decode(ETSI014StatusExtension.self, forKey: .status_extension)
    }
}

/// What a node of this kind says beyond the standard. All optional: other KMEs say other things.
public struct ETSI014StatusExtension: Codable, Sendable, Equatable {
    /// Bits of all keys of one request together.
    public var max_bits_per_request: Int?
    /// Seconds that a key waits for its slave SAE.
    public var key_lifetime_s: Double?
}

/// Key request, 6.2.
struct ETSI014KeyRequest: Codable {
    var number: Int?
    var size: Int?
    var additional_slave_SAE_IDs: [String]?
    var extension_mandatory: [JSONObject]?
    var extension_optional: [JSONObject]?
}

/// Key IDs, 6.4.
struct ETSI014KeyIDs: Codable {
    struct Entry: Codable {
        var key_ID: String
    }
    var key_IDs: [Entry]
}

/// Error, 6.5. The standard has objects in `details`; readers take strings too, which some servers send.
struct ETSI014Error: Codable {
    var message: String
}

/// An object of which nothing is used.
struct JSONObject: Codable {
    private struct Name: CodingKey {
        var stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init() {}
    init(from decoder: any Decoder) throws { _ = try decoder.container(keyedBy: Name.self) }
    func encode(to encoder: any Encoder) throws { _ = encoder.container(keyedBy: Name.self) }
}

/// Messages whose wording the standard fixes (5.3 and 5.4).
enum ETSI014Message {
    static let notMultipleOf8 = "size shall be a multiple of 8"
    static let mandatoryUnsupported = "not all extension_mandatory parameters are supported"
    static let notFound = "one or more keys specified are not found on KME"
}
