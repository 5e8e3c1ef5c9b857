using System;

// As much of Unity as the sample needs to compile.
namespace UnityEngine
{
    public class MonoBehaviour
    {
    }

    [AttributeUsage(AttributeTargets.Field)]
    public sealed class SerializeFieldAttribute : Attribute
    {
    }

    public static class Debug
    {
        public static void Log(object told)
        {
        }

        public static void LogError(object told)
        {
        }
    }

    public static class PlayerPrefs
    {
        public static string GetString(string name, string otherwise)
        {
            return otherwise;
        }

        public static void SetString(string name, string value)
        {
        }

        public static void Save()
        {
        }
    }
}
