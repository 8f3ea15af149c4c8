/// The program's name and version, as headers of files and `--version` print them.
public enum Program {
    public static let version = "0.1.0"
    public static let nameAndVersion = "dsgd " + version
}
