using System;
using System.Collections;
using System.Collections.Generic;
using System.Globalization;
using System.Text;

namespace GameServer.Client
{
    /// <summary>
    /// JSON text from and to plain values: <see cref="IDictionary{String,Object}"/>, <see cref="IList{Object}"/>,
    /// strings, <see cref="long"/>, <see cref="double"/>, booleans and null.
    /// </summary>
    public static class Json
    {
        const int DepthMax = 200;

        /// <summary>Read a text. Throws <see cref="FormatException"/> for what is no JSON.</summary>
        public static object Read(string text)
        {
            var reader = new Reader(text);
            object value = reader.Value(0);
            reader.End();
            return value;
        }

        /// <summary>Write a value. Throws <see cref="ArgumentException"/> for what JSON does not have.</summary>
        public static string Write(object value)
        {
            var text = new StringBuilder();
            Write(value, text, 0);
            return text.ToString();
        }

        static void Write(object value, StringBuilder text, int depth)
        {
            if (depth > DepthMax)
            {
                throw new ArgumentException("a value is nested too deep");
            }
            if (value == null)
            {
                text.Append("null");
            }
            else if (value is string)
            {
                WriteText((string)value, text);
            }
            else if (value is bool)
            {
                text.Append((bool)value ? "true" : "false");
            }
            else if (value is double || value is float)
            {
                WriteNumber((IFormattable)value, text);
            }
            else if (value is IDictionary)
            {
                WriteObject(Pairs((IDictionary)value), text, depth);
            }
            else if (value is IEnumerable<KeyValuePair<string, object>>)
            {
                WriteObject((IEnumerable<KeyValuePair<string, object>>)value, text, depth);
            }
            else if (value is IEnumerable)
            {
                WriteArray((IEnumerable)value, text, depth);
            }
            else
            {
                WriteWhole(value, text);
            }
        }

        static void WriteWhole(object value, StringBuilder text)
        {
            bool isNumber = value is int || value is long || value is short || value is byte || value is sbyte
                || value is uint || value is ulong || value is ushort || value is decimal;
            if (!isNumber)
            {
                throw new ArgumentException("a " + value.GetType() + " cannot be sent");
            }
            text.Append(((IFormattable)value).ToString(null, CultureInfo.InvariantCulture));
        }

        /// <summary>Write the shortest digits that are this very number: 0.1f is 0.1, and no double near it.</summary>
        static void WriteNumber(IFormattable number, StringBuilder text)
        {
            // As a double only to see whether it is a number at all: its digits are those of its own type.
            double value = Convert.ToDouble(number, CultureInfo.InvariantCulture);
            if (double.IsNaN(value) || double.IsInfinity(value))
            {
                throw new ArgumentException("JSON has no " + value);
            }
            text.Append(number.ToString("R", CultureInfo.InvariantCulture));
        }

        static IEnumerable<KeyValuePair<string, object>> Pairs(IDictionary members)
        {
            foreach (DictionaryEntry entry in members)
            {
                yield return new KeyValuePair<string, object>((string)entry.Key, entry.Value);
            }
        }

        static void WriteObject(IEnumerable<KeyValuePair<string, object>> members, StringBuilder text, int depth)
        {
            char separator = '{';
            foreach (KeyValuePair<string, object> member in members)
            {
                text.Append(separator);
                WriteText(member.Key, text);
                text.Append(':');
                Write(member.Value, text, depth + 1);
                separator = ',';
            }
            text.Append(separator == '{' ? "{}" : "}");
        }

        static void WriteArray(IEnumerable items, StringBuilder text, int depth)
        {
            char separator = '[';
            foreach (object item in items)
            {
                text.Append(separator);
                Write(item, text, depth + 1);
                separator = ',';
            }
            text.Append(separator == '[' ? "[]" : "]");
        }

        static void WriteText(string said, StringBuilder text)
        {
            text.Append('"');
            foreach (char c in said)
            {
                if (c == '"' || c == '\\')
                {
                    text.Append('\\').Append(c);
                }
                else if (c < ' ' || char.IsSurrogate(c))
                {
                    text.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                }
                else
                {
                    text.Append(c);
                }
            }
            text.Append('"');
        }

        sealed class Reader
        {
            readonly string text;
            int at;

            internal Reader(string text)
            {
                this.text = text;
            }

            internal void End()
            {
                Space();
                if (at < text.Length)
                {
                    throw Wrong();
                }
            }

            internal object Value(int depth)
            {
                if (depth > DepthMax)
                {
                    throw Wrong();
                }
                Space();
                switch (at < text.Length ? text[at] : '\0')
                {
                    case '{':
                        return Members(depth);
                    case '[':
                        return Items(depth);
                    case '"':
                        return Text();
                    case 't':
                        return Word("true", true);
                    case 'f':
                        return Word("false", false);
                    case 'n':
                        return Word("null", null);
                    default:
                        return Number();
                }
            }

            object Word(string word, object value)
            {
                if (string.CompareOrdinal(text, at, word, 0, word.Length) != 0)
                {
                    throw Wrong();
                }
                at += word.Length;
                return value;
            }

            Dictionary<string, object> Members(int depth)
            {
                var found = new Dictionary<string, object>();
                at++;
                if (Next('}'))
                {
                    return found;
                }
                do
                {
                    Space();
                    string name = Text();
                    if (!Next(':'))
                    {
                        throw Wrong();
                    }
                    found[name] = Value(depth + 1);
                }
                while (Next(','));
                return Next('}') ? found : throw Wrong();
            }

            List<object> Items(int depth)
            {
                var found = new List<object>();
                at++;
                if (Next(']'))
                {
                    return found;
                }
                do
                {
                    found.Add(Value(depth + 1));
                }
                while (Next(','));
                return Next(']') ? found : throw Wrong();
            }

            string Text()
            {
                if (at >= text.Length || text[at] != '"')
                {
                    throw Wrong();
                }
                var found = new StringBuilder();
                for (at++; at < text.Length; at++)
                {
                    char c = text[at];
                    if (c == '"')
                    {
                        at++;
                        return found.ToString();
                    }
                    if (c < ' ')
                    {
                        throw Wrong();
                    }
                    found.Append(c == '\\' ? Escaped() : c);
                }
                throw Wrong();
            }

            char Escaped()
            {
                at++;
                char c = at < text.Length ? text[at] : '\0';
                int simple = "\"\\/bfnrt".IndexOf(c);
                if (simple >= 0)
                {
                    return "\"\\/\b\f\n\r\t"[simple];
                }
                ushort code;
                if (c != 'u' || at + 4 >= text.Length || !ushort.TryParse(
                    text.Substring(at + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out code))
                {
                    throw Wrong();
                }
                at += 4;
                return (char)code;
            }

            object Number()
            {
                int begin = at;
                while (at < text.Length && "+-.eE0123456789".IndexOf(text[at]) >= 0)
                {
                    at++;
                }
                string digits = text.Substring(begin, at - begin);
                long whole;
                if (long.TryParse(digits, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out whole))
                {
                    return whole;
                }
                double number;
                if (double.TryParse(digits, NumberStyles.Float, CultureInfo.InvariantCulture, out number))
                {
                    return number;
                }
                throw Wrong();
            }

            bool Next(char wanted)
            {
                Space();
                if (at < text.Length && text[at] == wanted)
                {
                    at++;
                    return true;
                }
                return false;
            }

            void Space()
            {
                while (at < text.Length && " \t\r\n".IndexOf(text[at]) >= 0)
                {
                    at++;
                }
            }

            FormatException Wrong()
            {
                return new FormatException("no JSON (at " + at + ")");
            }
        }
    }
}
